from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from observability.notifiers import http
from observability.notifiers.base import OutgoingRequest, VendorResponse
from observability.notifiers.connection import Deadline
from observability.notifiers.http import BODY_LIMIT_BYTES, ConnectFailed, OutcomeUnknown, post
from observability.notifiers.tests.vendor import Visit, vendor
from observability.telemetry.errors.trail import trail
from observability.tests.waiting import PATIENCE_SECONDS

# A guard against a test that would never end, not an expectation: every outcome below is reached long before.
AGES = 60.0


@pytest.fixture(autouse=True)
def _no_proxy_and_a_fresh_session(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    http._local.__dict__.clear()
    yield
    if hasattr(http._local, "session"):
        http._local.session.close()


def send(
    url: str, body: Any = None, *, read: float = AGES, total: float = AGES, **headers: str
) -> VendorResponse:
    request = OutgoingRequest(url, {"text": "hello"} if body is None else body, {"X-Request-ID": "abcdefgh"})
    return post(request, connect_timeout=AGES, read_timeout=read, total_timeout=total)


def ok(visit: Visit) -> None:
    visit.answer("200 OK", b"ok", "X-Served-By: test")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_answer_has_status_body_and_headers_of_any_case() -> None:
    with vendor(ok) as slack:
        response = send(slack.url)

    assert (response.status, response.body, response.headers["x-served-by"]) == (200, "ok", "test")


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


def test_connection_is_kept_for_the_next_request() -> None:
    with vendor(ok) as slack:
        assert [send(slack.url).status for _ in range(3)] == [200, 200, 200]
        assert (slack.connections, len(slack.requests)) == (1, 3)


def test_connection_that_the_vendor_closed_meanwhile_is_replaced() -> None:
    closed = threading.Event()

    def answer_and_close(visit: Visit) -> None:
        ok(visit)
        visit.connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    with vendor(answer_and_close) as slack:
        for _ in range(3):
            assert send(slack.url).status == 200
            assert closed.wait(PATIENCE_SECONDS)
            closed.clear()
        assert slack.connections == 3


def test_connection_is_not_shared_with_a_forked_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with vendor(ok) as slack:
        send(slack.url)
        before = http._local.session
        monkeypatch.setattr(os, "getpid", lambda: 1)
        send(slack.url)
        assert http._local.session is not before
        assert slack.connections == 2
        before.close()


@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent"]
)
def test_redirect_is_an_answer_and_not_followed(status: str) -> None:
    with (
        vendor(ok) as elsewhere,
        vendor(lambda visit: visit.answer(status, b"", f"Location: {elsewhere.url}")) as slack,
    ):
        assert send(slack.url).status == int(status[:3])
        assert len(slack.requests) == 1
        assert elsewhere.requests == []


def test_rate_limit_comes_back_with_its_header() -> None:
    with vendor(lambda visit: visit.answer("429 Too Many Requests", b"{}", "Retry-After: 30")) as slack:
        response = send(slack.url)

    assert (response.status, response.headers["retry-after"]) == (429, "30")


def test_refused_connection_was_certainly_not_sent() -> None:
    with pytest.raises(ConnectFailed, match=r"^not sent: ConnectionError, Connection refused$"):
        send(f"http://127.0.0.1:{free_port()}/services/secretsecret")


def test_unknown_host_was_certainly_not_sent() -> None:
    with pytest.raises(ConnectFailed):
        send("http://vendor.invalid/services/secretsecret")


@pytest.mark.parametrize(
    "url", ["", "hooks.slack.com/services/x", "ftp://x/", "http://", "http://[broken/", "http://a:b/"]
)
def test_broken_address_was_certainly_not_sent(url: str) -> None:
    with pytest.raises(ConnectFailed, match=r"^not sent: "):
        send(url)


def test_vendor_that_never_finishes_tls_was_certainly_not_sent_to() -> None:
    with vendor(ok, reads=False) as slack, pytest.raises(ConnectFailed):
        send(slack.url.replace("http:", "https:"), total=1.0)


def test_vendor_that_hangs_may_have_got_it() -> None:
    with vendor(lambda visit: visit.hang()) as slack:
        with pytest.raises(OutcomeUnknown, match=r"^sent, but no answer: ReadTimeout"):
            send(slack.url, read=1.0)
        assert len(slack.requests) == 1


def test_vendor_that_resets_after_accepting_may_have_got_it() -> None:
    with vendor(lambda visit: visit.reset()) as slack:
        with pytest.raises(OutcomeUnknown, match=r"^sent, but no answer: ConnectionError"):
            send(slack.url)
        assert len(slack.requests) == 1


def test_vendor_that_hangs_up_without_a_word_may_have_got_it() -> None:
    with (
        vendor(lambda visit: visit.connection.shutdown(socket.SHUT_RDWR)) as slack,
        pytest.raises(OutcomeUnknown),
    ):
        send(slack.url)


def test_vendor_that_hangs_on_a_kept_connection_may_have_got_it() -> None:
    first = True

    def answer_once(visit: Visit) -> None:
        nonlocal first
        if not first:
            visit.hang()
        first = False
        ok(visit)

    with vendor(answer_once) as slack:
        send(slack.url)
        with pytest.raises(OutcomeUnknown, match="the total time was up"):
            send(slack.url, total=1.0)
        assert (slack.connections, len(slack.requests)) == (1, 2)


def test_headers_that_trickle_end_with_the_total_time() -> None:
    with (
        vendor(lambda visit: visit.trickle(b"HTTP/1.1 200 OK\r\nX-Slow: ")) as slack,
        pytest.raises(OutcomeUnknown, match="the total time was up"),
    ):
        send(slack.url, total=1.0)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 410 Gone\r\nContent-Length: 60000\r\n\r\nchannel_is_archived",
        b"HTTP/1.1 410 Gone\r\nContent-Length: 60000\r\nConnection: close\r\n\r\nchannel_is_archived",
        b"HTTP/1.1 410 Gone\r\nConnection: close\r\n\r\nchannel_is_archived",
    ],
)
def test_body_that_trickles_ends_with_the_total_time_and_the_status_counts(start: bytes) -> None:
    with vendor(lambda visit: visit.trickle(start)) as slack:
        response = send(slack.url, total=1.0)

    assert response.status == 410
    assert response.body.startswith("channel_is_archived")
    assert set(response.body.removeprefix("channel_is_archived")) <= {"x"}


def test_request_that_is_not_read_ends_with_the_total_time() -> None:
    with vendor(ok, reads=False) as slack, pytest.raises(OutcomeUnknown, match="the total time was up"):
        send(slack.url, {"text": "x" * 30_000_000}, total=1.0)


def test_huge_body_is_read_to_its_limit_only() -> None:
    with vendor(lambda visit: visit.answer("500 Oh", b"y" * 20_000_000)) as slack:
        response = send(slack.url)

    assert (response.status, response.body) == (500, "y" * BODY_LIMIT_BYTES)


def test_chunked_body_is_put_together() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"
    with vendor(lambda visit: visit.connection.sendall(answer)) as slack:
        assert [send(slack.url).body, send(slack.url).body] == ["ok", "ok"]
        assert slack.connections == 1


def test_body_that_is_no_text_is_still_an_answer() -> None:
    with vendor(lambda visit: visit.answer("500 Oh", b"\xff\xfe\x00ok", "Content-Encoding: gzip")) as slack:
        assert send(slack.url).body == "\ufffd\ufffd\0ok"


def test_answer_that_is_not_http_may_have_been_sent() -> None:
    def greet(visit: Visit) -> None:
        visit.connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        visit.hang()

    with (
        vendor(greet) as slack,
        pytest.raises(OutcomeUnknown, match=r"^sent, but no answer: ConnectionError"),
    ):
        send(slack.url)


def test_no_error_names_the_address() -> None:
    urls = [
        f"http://127.0.0.1:{free_port()}/secretsecret",
        "http://vendor.invalid/secretsecret",
        "secretsecret",
    ]
    for url in urls:
        with pytest.raises(ConnectFailed) as caught:
            send(url)
        assert "secretsecret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_cookies_are_not_kept() -> None:
    with vendor(lambda visit: visit.answer("200 OK", b"ok", "Set-Cookie: who=me")) as slack:
        send(slack.url)
        send(slack.url)
        assert "cookie" not in slack.requests[1].head.lower()


def test_password_in_netrc_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password planted\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with vendor(ok) as slack:
        send(slack.url)
        assert "authorization" not in slack.requests[0].head.lower()


def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with vendor(ok) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.partition("/services")[0])
        assert send("http://vendor.invalid/services/T").body == "ok"
        assert proxy.requests[0].head.startswith("POST http://vendor.invalid/services/T HTTP/1.1")


def test_proxy_that_hangs_before_the_tunnel_was_certainly_not_sent_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with vendor(lambda visit: visit.hang()) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.partition("/services")[0])
        with pytest.raises(ConnectFailed):
            send("https://vendor.invalid/services/T", total=1.0)
        assert proxy.requests[0].head.startswith("CONNECT vendor.invalid:443")


def test_event_of_half_a_megabyte_arrives_whole() -> None:
    event = {"payload": "漢" * 150_000}
    with vendor(ok) as pagerduty:
        send(pagerduty.url, event)
        assert json.loads(pagerduty.requests[0].body) == event


def test_all_deadlines_share_one_thread() -> None:
    with vendor(ok) as slack:
        for _ in range(5):
            send(slack.url)
    assert [thread.name for thread in threading.enumerate()].count("deadlines") == 1


def test_a_short_deadline_is_kept_while_a_long_one_runs() -> None:
    with Deadline(AGES), vendor(lambda visit: visit.hang()) as slack, pytest.raises(OutcomeUnknown):
        send(slack.url, total=0.2)


def test_a_forked_process_has_its_own_thread_for_deadlines() -> None:
    with vendor(lambda visit: visit.hang()) as slack:
        with Deadline(AGES):
            child = os.fork()
        if child == 0:
            with contextlib.suppress(OutcomeUnknown):
                send(slack.url, total=0.2)
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
