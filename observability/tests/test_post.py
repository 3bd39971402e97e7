"""What a notifier's POST adds to core/outgoing: JSON, and a line in the trail of later errors."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from core.outgoing import ConnectFailed
from core.tests.vendor import Visit, vendor
from observability.alerts.delivery.send import post
from observability.notifiers.base import OutgoingRequest, VendorResponse
from observability.telemetry.errors.trail import trail


@pytest.fixture(autouse=True)
def ages(settings: Any) -> None:
    """A guard against a test that would never end, not an expectation."""
    settings.NOTIFIER_CONNECT_TIMEOUT = settings.NOTIFIER_READ_TIMEOUT = 60.0


def send(url: str, body: Any = None) -> VendorResponse:
    request = OutgoingRequest(url, {"text": "hello"} if body is None else body, {"X-Request-ID": "abcdefgh"})
    return post(request)


def ok(visit: Visit) -> None:
    visit.answer("200 OK", b"ok", "X-Served-By: test")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_request_leaves_a_crumb_with_host_and_status_and_no_path() -> None:
    trail.forget()
    with vendor(ok) as slack:
        send(slack.url)
    with pytest.raises(ConnectFailed):
        send(f"http://127.0.0.1:{free_port()}/services/secretsecret")

    first, second = trail.leading_here()
    assert (first.message, first.category, first.kind) == ("POST 127.0.0.1", "httplib", "http")
    assert first.data == {"status_code": 200, "duration_ms": first.data["duration_ms"]}
    assert second.data["status_code"] == "ConnectFailed"
    assert "secret" not in str([first, second])


def test_request_is_json_in_utf_8_with_our_headers() -> None:
    with vendor(ok) as slack:
        send(slack.url, {"text": "Grüße 😀"})
        (visit,) = slack.requests

    lines = visit.head.split("\r\n")
    assert lines[0] == "POST /services/T000/B000/secretsecret HTTP/1.1"
    assert {
        "Content-Type: application/json; charset=utf-8",
        "X-Request-ID: abcdefgh",
        "User-Agent: Amani",
    } <= set(lines)
    assert visit.body == '{"text": "Grüße 😀"}'.encode()


def test_answer_has_status_body_and_headers_of_any_case() -> None:
    with vendor(ok) as slack:
        response = send(slack.url)

    assert (response.status, response.body, response.headers["x-served-by"]) == (200, "ok", "test")


def test_only_the_beginning_of_a_long_answer_is_read() -> None:
    with vendor(lambda visit: visit.answer("500 Oh", b"y" * 1_000_000)) as slack:
        response = send(slack.url)

    assert (response.status, response.body) == (500, "y" * 65_536)


def test_text_that_is_no_unicode_was_certainly_not_sent() -> None:
    with vendor(ok) as slack, pytest.raises(ConnectFailed, match="not sent: UnicodeEncodeError"):
        send(slack.url, {"text": "\ud800"})


def test_event_of_half_a_megabyte_arrives_whole() -> None:
    event = {"payload": "漢" * 150_000}
    with vendor(ok) as pagerduty:
        send(pagerduty.url, event)
        assert json.loads(pagerduty.requests[0].body) == event
