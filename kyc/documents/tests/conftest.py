"""Stores documents of these tests in a folder, as in development, or in a bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from kyc.documents.tests.s3 import Store


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    """The storage's folder, empty, with the options that settings.py gives it."""
    place = tmp_path / "kyc"
    configured = settings.STORAGES["kyc"]
    options = {**configured["OPTIONS"], "location": str(place)}
    settings.STORAGES = {**settings.STORAGES, "kyc": {**configured, "OPTIONS": options}}
    return place


@pytest.fixture
def bucket(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Instead of the folder: a bucket over real HTTP, configured as settings.py does it."""
    store = Store("documents")
    module = import_module(os.environ["DJANGO_SETTINGS_MODULE"])
    monkeypatch.setattr(module, "KYC_S3_BUCKET", "documents")
    monkeypatch.setattr(module, "KYC_S3_ENDPOINT_URL", f"http://{store.address}")
    monkeypatch.setattr(module, "KYC_S3_REGION", "eu-west-1")
    monkeypatch.setattr(module, "KYC_S3_ACCESS_KEY_ID", "key")
    monkeypatch.setattr(module, "KYC_S3_SECRET_ACCESS_KEY", "secret")
    settings.STORAGES = {**settings.STORAGES, "kyc": module.kyc_storage()}
    yield store
    store.close()
