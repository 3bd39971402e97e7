from __future__ import annotations

import pytest
from pytest_django import Settings

from observability.notifiers.base import Delivered, Kind, Pace, Rejected, RetryLater, VendorResponse
from observability.notifiers.pagerduty.format import event_for
from observability.notifiers.pagerduty.notifier import PagerDuty
from observability.notifiers.tests.facts import message, storm

KEY = "0123456789abcdef0123456789abcdef"
URL = "https://events.pagerduty.com/v2/enqueue"
INVALID_KEY = (
    '{"status":"invalid event","message":"Event object is invalid","errors":["\'routing_key\' is invalid"]}'
)
INVALID_EVENT = (
    '{"status":"invalid event","message":"Event object is invalid","errors":["\'severity\' is missing"]}'
)


@pytest.fixture(autouse=True)
def _key(settings: Settings) -> None:
    settings.PAGERDUTY_API_KEY = KEY
    settings.PAGERDUTY_EVENTS_URL = URL


def meaning(status: int, body: str = "", headers: dict[str, str] | None = None) -> object:
    return PagerDuty().meaning_of(VendorResponse(status, body, headers or {}))


def test_request_goes_to_the_events_address_with_the_event() -> None:
    request = PagerDuty().request_for(message())

    assert (request.url, request.json) == (URL, event_for(message(), routing_key=KEY))
    assert KEY not in repr(request)


def test_pagerduty_takes_no_digest() -> None:
    assert PagerDuty().handles == {Kind.TRIGGER, Kind.ACKNOWLEDGE, Kind.RESOLVE}
    assert PagerDuty().digest_capacity(message(Kind.DIGEST, *storm(5))) == 1


def test_pagerduty_is_off_without_a_key(settings: Settings) -> None:
    assert PagerDuty().is_configured()
    assert PagerDuty().secrets() == (KEY,)
    settings.PAGERDUTY_API_KEY = ""
    assert not PagerDuty().is_configured()
    assert PagerDuty().secrets() == ()


def test_accepted_means_delivered() -> None:
    assert meaning(202, '{"status":"success","message":"Event processed","dedup_key":"k"}') == Delivered()


@pytest.mark.parametrize("status", [200, 201, 203, 299])
def test_other_success_did_not_come_from_pagerduty(status: int) -> None:
    assert meaning(status, "<html>") == RetryLater(None, f"{status} <html> (expected: 202)")


@pytest.mark.parametrize(
    ("headers", "wait"), [({}, 30.0), ({"Retry-After": "5"}, 30.0), ({"retry-after": "120"}, 120.0)]
)
def test_rate_limit_waits_at_least_thirty_seconds(headers: dict[str, str], wait: float) -> None:
    assert meaning(429, "slow down", headers) == RetryLater(wait, "429 slow down")


def test_rate_limit_waits_as_long_as_the_body_says() -> None:
    assert meaning(429, '{"retry_after": 90}') == RetryLater(90.0, '429 {"retry_after": 90}')


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
def test_trouble_on_their_side_is_tried_again(status: int) -> None:
    assert meaning(status, "sorry") == RetryLater(None, f"{status} sorry")
    assert meaning(status, "sorry", {"Retry-After": "5"}) == RetryLater(5.0, f"{status} sorry")
    assert meaning(status, '{"retry_after": 7}') == RetryLater(7.0, f'{status} {{"retry_after": 7}}')


@pytest.mark.parametrize(("status", "body"), [(400, INVALID_EVENT), (400, ""), (413, "too large")])
def test_refused_event_does_not_condemn_the_key(status: int, body: str) -> None:
    assert meaning(status, body) == Rejected(f"{status} {body}".strip(), flags_channel=False)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, INVALID_KEY),
        (400, "Bad Service_Key"),
        (300, ""),
        (499, ""),
        (401, ""),
        (403, "forbidden"),
        (404, ""),
        (301, ""),
        (302, INVALID_EVENT),
    ],
)
def test_key_or_address_that_will_never_work_is_flagged(status: int, body: str) -> None:
    assert meaning(status, body) == Rejected(f"{status} {body}".strip(), flags_channel=True)


@pytest.mark.parametrize(
    ("limit", "pace"),
    [
        (0, Pace()),
        (-1, Pace()),
        (1, Pace(interval=60.0, burst=1)),
        (2, Pace(interval=60.0, burst=1)),
        (13, Pace(interval=5.0, burst=1)),
        (24, Pace(interval=60 / 22, burst=2)),
        (120, Pace(interval=60 / 110, burst=10)),
    ],
)
def test_burst_and_pace_stay_within_the_limit_of_a_minute(settings: Settings, limit: int, pace: Pace) -> None:
    settings.PAGERDUTY_EVENTS_PER_MINUTE = limit
    assert PagerDuty().pace() == pace


@pytest.mark.parametrize(
    ("service", "page"), [("", ""), ("P/1 2", "https://app.pagerduty.com/service-directory/P%2F1%202")]
)
def test_page_is_that_of_the_service_when_it_is_named(settings: Settings, service: str, page: str) -> None:
    settings.PAGERDUTY_SERVICE_ID = service
    assert PagerDuty().page() == page
