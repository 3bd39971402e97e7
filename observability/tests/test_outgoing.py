"""Requests for the apps above: whole answers in time, or an error that says whether anything was sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from core.request_id import request_id
from observability import outgoing
from observability.outgoing import Answer, ConnectFailed, OutcomeUnknown
from observability.tests.stand_in import StandIn
from observability.tests.waiting import ANSWER_SECONDS


class Server(StandIn):
    """`behave` answers."""

    behave: Callable[[BaseHTTPRequestHandler], None]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.got = (handler.command, handler.path, handler.rfile.read(int(handler.headers["Content-Length"])))
        self.headers = dict(handler.headers)
        self.behave(handler)


def says(status: int, body: bytes, length: int | None = None, **headers: str) -> Callable[..., None]:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = length is not None

    return behave


@pytest.fixture
def server() -> Iterator[Server]:
    stand_in = Server()
    yield stand_in
    stand_in.close()


def sent(server: Server, *, seconds: float = ANSWER_SECONDS, limit: int = 1_000) -> Answer:
    return outgoing.send(
        "PUT",
        f"http://{server.address}/path?secret",
        body=b"content",
        headers={"Content-Type": "application/zip"},
        seconds=seconds,
        limit_bytes=limit,
    )


def test_an_answer_is_whole_whatever_its_status(server: Server) -> None:
    server.behave = says(418, b"short and stout")
    token = request_id.set("request-0123456789")
    answer = sent(server)
    request_id.reset(token)
    assert (answer.status, answer.body) == (418, b"short and stout")
    assert server.got == ("PUT", "/path?secret", b"content")
    assert server.headers["Content-Type"] == "application/zip"
    assert server.headers["X-Request-ID"] == "request-0123456789"


def test_a_redirect_is_an_answer(server: Server) -> None:
    server.behave = says(307, b"moved", Location="http://127.0.0.1:1/")
    assert sent(server).status == 307


def test_an_answer_that_is_too_long_or_too_short_is_none(server: Server) -> None:
    server.behave = says(200, b"x" * 1_001)
    with pytest.raises(OutcomeUnknown, match="longer than 1,000 bytes"):
        sent(server)
    server.behave = says(200, b"half", length=8)
    with pytest.raises(OutcomeUnknown, match="sent, but"):
        sent(server)


def test_a_server_that_sends_a_byte_now_and_then_is_cut_at_the_deadline(server: Server) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(3_000):
            try:
                handler.wfile.write(b"x")
            except OSError:
                return
            time.sleep(0.02)

    server.behave = drip
    with pytest.raises(OutcomeUnknown, match="sent, but no"):
        sent(server, seconds=1.0)


def test_where_nobody_listens_nothing_was_sent_and_the_address_stays_secret(server: Server) -> None:
    server.close()
    with pytest.raises(ConnectFailed, match="not sent") as failure:
        sent(server)
    assert "secret" not in str(failure.value)


def test_how_long_to_wait_is_read_from_header_or_body() -> None:
    assert outgoing.seconds_to_wait(Answer(429, b"", {"Retry-After": "7"})) == 7.0
    assert outgoing.seconds_to_wait(Answer(429, b'{"retry_after": 9}')) == 9.0
    assert outgoing.seconds_to_wait(Answer(500, b"\xff")) is None
