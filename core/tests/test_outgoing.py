"""Outgoing requests: the answer is complete, in time, and it is known whether the request was sent."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from core import outgoing
from core.outgoing import Answer, Call, ConnectFailed, OutcomeUnknown, sending
from core.outgoing.connection import AT_ONCE_BYTES, GuardedAdapter
from core.request_id import request_id
from core.tests.vendor import Visit, vendor

BODY_LIMIT_BYTES = 64 * 1024
PATIENCE_SECONDS = 180.0  # a generous end for a condition that comes true long before


class VendorAnswer(NamedTuple):
    status: int
    body: str
    headers: Mapping[str, str]


# A guard against a test that would never end, not an expectation: every outcome below is reached long before.
AGES = 60.0


@pytest.fixture(autouse=True)
def _no_proxy_and_a_fresh_session(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    sending._local.__dict__.clear()
    yield
    if hasattr(sending._local, "session"):
        sending._local.session.close()


def send(
    url: str, body: Any = None, *, read: float = AGES, total: float = AGES, **headers: str
) -> VendorAnswer:
    answer = outgoing.send(
        "POST",
        url,
        body=json.dumps({"text": "hello"} if body is None else body, ensure_ascii=False).encode(),
        headers={"X-Request-ID": "abcdefgh", **headers},
        seconds=total,
        connect_seconds=AGES,
        read_seconds=read,
        limit_bytes=BODY_LIMIT_BYTES,
        beginning_is_enough=True,
    )
    return VendorAnswer(answer.status, answer.text, answer.headers)


def ok(visit: Visit) -> None:
    visit.answer("200 OK", b"ok", "X-Served-By: test")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_answer_has_status_body_and_headers_of_any_case() -> None:
    with vendor(ok) as slack:
        response = send(slack.url)

    assert (response.status, response.body, response.headers["x-served-by"]) == (200, "ok", "test")


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
        before = sending._local.session
        monkeypatch.setattr(os, "getpid", lambda: 1)
        send(slack.url)
        assert sending._local.session is not before
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


def test_a_server_of_the_installation_is_asked_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with vendor(ok) as proxy, vendor(ok) as server:
        monkeypatch.setenv("http_proxy", proxy.url.partition("/services")[0])
        answer = outgoing.send(
            "GET", server.url, body=b"", headers={}, seconds=AGES, limit_bytes=100, by_proxy=False
        )
        assert (answer.status, answer.body) == (200, b"ok")
        assert (len(server.requests), proxy.requests) == (1, [])


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


# --- Listeners ---


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    calls: list[Call] = []
    monkeypatch.setattr(sending, "_listeners", [])
    outgoing.listen(calls.append)
    return calls


def test_listeners_learn_host_and_outcome_and_no_path(calls: list[Call]) -> None:
    with vendor(ok) as slack:
        send(slack.url)
    with pytest.raises(ConnectFailed):
        send(f"http://127.0.0.1:{free_port()}/services/secretsecret")
    assert [(call.method, call.host, call.outcome) for call in calls] == [
        ("POST", "127.0.0.1", 200),
        ("POST", "127.0.0.1", "ConnectFailed"),
    ]
    assert "secret" not in str(calls)


# --- Only whole answers ---


def whole(url: str, *, seconds: float = AGES, limit: int = 1_000) -> Answer:
    headers = {"Content-Type": "application/zip"}
    return outgoing.send("PUT", url, body=b"content", headers=headers, seconds=seconds, limit_bytes=limit)


def says(status: str, body: bytes, *headers: str) -> Callable[[Visit], None]:
    return lambda visit: visit.answer(status, body, *headers)


def test_an_answer_is_whole_whatever_its_status() -> None:
    token = request_id.set("request-0123456789")
    with vendor(says("418 Teapot", b"short and stout")) as server:
        answer = whole(server.url)
    request_id.reset(token)
    assert (answer.status, answer.body) == (418, b"short and stout")
    (visit,) = server.requests
    assert visit.body == b"content"
    lines = visit.head.split("\r\n")
    assert lines[0] == "PUT /services/T000/B000/secretsecret HTTP/1.1"
    assert {"Content-Type: application/zip", "X-Request-ID: request-0123456789"} <= set(lines)


def test_a_redirect_is_an_answer() -> None:
    with vendor(says("307 Moved", b"moved", "Location: http://127.0.0.1:1/")) as server:
        assert whole(server.url).status == 307


def test_an_answer_that_is_too_long_or_too_short_is_none() -> None:
    with (
        vendor(says("200 OK", b"x" * 1_001)) as server,
        pytest.raises(OutcomeUnknown, match="longer than 1,000 bytes"),
    ):
        whole(server.url)

    def break_off(visit: Visit) -> None:
        visit.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        visit.connection.shutdown(socket.SHUT_RDWR)

    with vendor(break_off) as server, pytest.raises(OutcomeUnknown, match="sent, but"):
        whole(server.url)


def test_an_answer_of_exactly_the_limit_is_whole() -> None:
    with vendor(says("200 OK", b"x" * 1_000)) as server:
        assert whole(server.url).body == b"x" * 1_000


def test_a_body_that_trickles_is_cut_at_the_deadline() -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    with (
        vendor(lambda visit: visit.trickle(start)) as server,
        pytest.raises(OutcomeUnknown, match="the total time was up"),
    ):
        whole(server.url, seconds=1.0)


def test_where_nobody_listens_nothing_was_sent_and_the_address_stays_secret() -> None:
    with pytest.raises(ConnectFailed, match="not sent") as failure:
        whole(f"http://127.0.0.1:{free_port()}/path?secret")
    assert "secret" not in str(failure.value)


class Wire:
    """Stands for a connected socket and keeps what is written to it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.parts.append(bytes(data))

    def settimeout(self, _seconds: float | None) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("length", "parts"), [(0, 1), (2, 1), (AT_ONCE_BYTES, 1), (AT_ONCE_BYTES + 1, 2)])
def test_head_and_body_leave_together_unless_the_body_is_long(length: int, parts: int) -> None:
    pool = GuardedAdapter().poolmanager.connection_from_url("http://vendor.example")
    connection = pool.ConnectionCls("vendor.example", 80)
    wire: Any = Wire()
    connection.sock = wire
    connection.request("POST", "/events", body=b"x" * length)
    assert len(wire.parts) == parts
    head, _, body = b"".join(wire.parts).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /events HTTP/1.1\r\n")
    assert body == b"x" * length


def test_a_password_in_the_address_is_not_sent() -> None:
    with vendor(ok) as slack:
        send(slack.url.replace("//", "//me:planted@"))
        assert "authorization" not in slack.requests[0].head.lower()
