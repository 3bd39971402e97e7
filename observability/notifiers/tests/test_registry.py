from __future__ import annotations

import pytest
from pytest_django import Settings

from observability.notifiers import registry
from observability.notifiers.base import Delivered, Kind, Message, Notifier, VendorResponse
from observability.notifiers.tests.facts import alert


@pytest.fixture(autouse=True)
def _planted_secrets(settings: Settings) -> None:
    for notifier in registry.NOTIFIERS.values():
        for variable in notifier.variables:
            setattr(settings, variable, f"planted-{variable.lower()}")
        setattr(settings, notifier.address_variable, f"https://{notifier.name}.example/services/planted-path")


every_notifier = pytest.mark.parametrize(
    "notifier", registry.NOTIFIERS.values(), ids=list(registry.NOTIFIERS)
)


def test_notifiers_are_found_by_name() -> None:
    assert {"pagerduty", "slack"} <= set(registry.NOTIFIERS)
    assert registry.get("slack").label == "Slack"
    assert registry.get("pagerduty").label == "PagerDuty"


def test_unknown_notifier_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(KeyError, match=r"no notifier 'sms'; there are .*pagerduty, .*slack"):
        registry.get("sms")


def test_only_notifiers_with_a_key_are_configured(settings: Settings) -> None:
    assert registry.configured() == list(registry.NOTIFIERS.values())
    settings.PAGERDUTY_API_KEY = ""
    assert registry.configured() == [each for each in registry.NOTIFIERS.values() if each.name != "pagerduty"]


@every_notifier
def test_every_kind_that_is_handled_gives_a_request(notifier: Notifier) -> None:
    for kind in notifier.handles:
        request = notifier.request_for(Message(kind, (alert(),), "production"))
        assert request.url.startswith("https://")
        assert request.json


@every_notifier
def test_every_notifier_handles_firing_and_resolved_alerts(notifier: Notifier) -> None:
    assert {Kind.TRIGGER, Kind.RESOLVE} <= notifier.handles


@every_notifier
def test_no_notifier_shows_its_secrets(notifier: Notifier) -> None:
    request = notifier.request_for(Message(Kind.TRIGGER, (alert(),), "production"))
    for secret in notifier.secrets():
        assert secret not in repr(notifier)
        assert secret not in repr(request)
    assert any(secret in f"{request.url} {request.json} {request.headers}" for secret in notifier.secrets())


@every_notifier
@pytest.mark.parametrize("status", [200, 302, 400, 404, 429, 500])
def test_no_reason_repeats_a_secret_or_what_can_not_be_stored(notifier: Notifier, status: int) -> None:
    for secret in notifier.secrets():
        meaning = notifier.meaning_of(VendorResponse(status, f"{'y' * 190}{secret}\0{secret}"))
        assert not isinstance(meaning, Delivered)
        assert secret not in meaning.reason
        assert secret[:8] not in meaning.reason
        assert "\0" not in meaning.reason
        assert len(meaning.reason) < 300
