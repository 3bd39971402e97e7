"""Tests the uses of the registry of providers."""

from __future__ import annotations

from typing import Any

from django.core.checks import run_checks

from kyc import metrics
from kyc.badges import provider_name
from kyc.providers.registry import PROVIDERS


def test_the_setting_offers_the_providers_that_there_are(settings: Any) -> None:
    assert list(PROVIDERS) == settings.KYC_PROVIDERS == ["manual", "smile_id"]
    assert metrics.PROVIDERS == ("manual", "smile_id")


def test_a_provider_without_its_settings_is_off_and_a_check_names_them(settings: Any) -> None:
    settings.SMILE_ID_PARTNER_ID, settings.SMILE_ID_API_KEY = "1234", ""
    settings.KYC_PROVIDER = "smile_id"
    assert not PROVIDERS["smile_id"].is_configured()
    (message,) = [found.msg for found in run_checks() if found.id == "amani.E008"]
    assert message == "KYC_PROVIDER is smile_id, but SMILE_ID_PARTNER_ID or SMILE_ID_API_KEY is not set."
    settings.KYC_PROVIDER = "manual"
    assert [found for found in run_checks() if found.id == "amani.E008"] == []


def test_pages_call_a_provider_by_its_label() -> None:
    assert provider_name("smile_id") == "Smile ID"
    assert provider_name("manual") == "Manual"
    assert provider_name("one_that_is_gone") == "one_that_is_gone"
