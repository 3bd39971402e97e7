"""Documents of these tests lie in a folder, as in development, or in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import amani.settings
from kyc.documents.tests.s3 import Store


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    """The storage's folder, empty, with the options that settings.py gives it."""
    place = tmp_path / "kyc"
    configured = amani.settings.kyc_storage()
    options = {**configured["OPTIONS"], "location": str(place)}
    settings.STORAGES = {**settings.STORAGES, "kyc": {**configured, "OPTIONS": options}}
    return place


@pytest.fixture
def bucket(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Instead of the folder: a bucket over real HTTP, configured as settings.py does it."""
    store = Store("documents")
    monkeypatch.setattr(amani.settings, "KYC_S3_BUCKET", "documents")
    monkeypatch.setattr(amani.settings, "KYC_S3_ENDPOINT_URL", f"http://{store.address}")
    monkeypatch.setattr(amani.settings, "KYC_S3_REGION", "eu-west-1")
    monkeypatch.setattr(amani.settings, "KYC_S3_ACCESS_KEY_ID", "key")
    monkeypatch.setattr(amani.settings, "KYC_S3_SECRET_ACCESS_KEY", "secret")
    settings.STORAGES = {**settings.STORAGES, "kyc": amani.settings.kyc_storage()}
    yield store
    store.close()
