"""Stores documents of the tests in memory."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def documents_in_memory(settings: Any) -> None:
    storage = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "kyc": storage}
