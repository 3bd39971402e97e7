from __future__ import annotations

import pytest
from pytest_django import Settings

from observability.notifiers.base import Delivered, Kind, Pace, Rejected, RetryLater, VendorResponse
from observability.notifiers.slack.format import payload_for
from observability.notifiers.slack.notifier import Slack
from observability.notifiers.tests.facts import message, storm

URL = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"


@pytest.fixture(autouse=True)
def _webhook(settings: Settings) -> None:
    settings.SLACK_WEBHOOK_URL = URL


def meaning(status: int, body: str = "", **headers: str) -> object:
    return Slack().meaning_of(
        VendorResponse(status, body, {name.replace("_", "-"): v for name, v in headers.items()})
    )


def test_request_goes_to_the_webhook_with_the_payload() -> None:
    request = Slack().request_for(message())

    assert (request.url, request.json, dict(request.headers)) == (URL, payload_for(message()), {})


def test_request_does_not_show_the_webhook_when_printed() -> None:
    assert "XXXX" not in repr(Slack().request_for(message()))


def test_slack_says_everything() -> None:
    assert Slack().handles == set(Kind)


def test_slack_is_off_without_a_webhook(settings: Settings) -> None:
    assert Slack().is_configured()
    settings.SLACK_WEBHOOK_URL = ""
    assert not Slack().is_configured()
    assert Slack().secrets() == ()


def test_secrets_are_the_webhook_its_path_and_its_last_part() -> None:
    path = "T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
    assert Slack().secrets() == (URL, f"/services/{path}", path, "XXXXXXXXXXXXXXXXXXXXXXXX")


def test_digest_capacity_is_slacks() -> None:
    assert Slack().digest_capacity(message(Kind.DIGEST, *storm(50))) == 50


@pytest.mark.parametrize("body", ["ok", "ok\n", '{"ok": true}', '{"success": true}'])
def test_ok_means_delivered(body: str) -> None:
    assert meaning(200, body) == Delivered()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "OK",
        "<html>Sign in to the proxy</html>",
        '{"ok": false, "error": "fatal_error"}',
        '{"ok": 1}',
        '{"success": "true"}',
        "{}",
        "[]",
    ],
)
def test_success_without_ok_is_tried_again(body: str) -> None:
    assert meaning(200, body) == RetryLater(None, f"{f'200 {body}'.strip()} (expected: ok)")


def test_success_with_a_body_that_is_nested_too_deeply_is_tried_again() -> None:
    assert isinstance(meaning(200, "[" * 100_000), RetryLater)


def test_rate_limit_waits_as_long_as_the_header_says() -> None:
    body = '{"retry_after":1,"ok":false,"error":"rate_limited"}'
    assert meaning(429, body, Retry_After="30") == RetryLater(30.0, f"429 {body}")


def test_rate_limit_without_header_waits_as_long_as_the_body_says() -> None:
    body = '{"retry_after":7,"ok":false,"error":"rate_limited"}'
    assert meaning(429, body) == RetryLater(7.0, f"429 {body}")


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 599])
def test_trouble_on_their_side_is_tried_again(status: int) -> None:
    assert meaning(status, "rollup_error") == RetryLater(None, f"{status} rollup_error")


@pytest.mark.parametrize(
    "body", ["invalid_payload", "invalid_blocks", "invalid_blocks: too long", "no_text", "msg_too_long"]
)
def test_refused_message_does_not_condemn_the_channel(body: str) -> None:
    assert meaning(400, body) == Rejected(f"400 {body}", flags_channel=False)


def test_message_too_large_for_a_proxy_does_not_condemn_the_channel() -> None:
    assert meaning(413, "too large") == Rejected("413 too large", flags_channel=False)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, "user_not_found"),
        (400, "invalid_token"),
        (400, "not invalid_payload"),
        (401, ""),
        (201, "ok"),
        (499, "no_service"),
        (403, "action_prohibited"),
        (403, "invalid_token"),
        (404, "channel_not_found"),
        (404, "no_service"),
        (410, "channel_is_archived"),
        (301, ""),
        (302, "invalid_payload"),
        (308, ""),
    ],
)
def test_channel_that_will_never_take_anything_is_flagged(status: int, body: str) -> None:
    assert meaning(status, body) == Rejected(f"{status} {body}".strip(), flags_channel=True)


@pytest.mark.parametrize(("rate", "pace"), [(1, Pace(1.05)), (2, Pace(0.525)), (0, Pace()), (-1, Pace())])
def test_pace_is_a_little_slower_than_the_setting_and_off_at_zero(
    settings: Settings, rate: int, pace: Pace
) -> None:
    settings.SLACK_MESSAGES_PER_SECOND = rate
    assert (Slack().pace(), pace.burst) == (pace, 1)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://chat/12345678", ("https://chat/12345678", "/12345678", "12345678")),
        ("https://chat/1234567", ("https://chat/1234567",)),
    ],
)
def test_part_of_the_address_is_a_secret_from_eight_characters_on(
    settings: Settings, url: str, secrets: tuple[str, ...]
) -> None:
    settings.SLACK_WEBHOOK_URL = url
    assert Slack().secrets() == secrets
