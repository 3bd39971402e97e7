"""Hundreds of clients that send slowly do not stop Amani, with the shipped configuration of gunicorn."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path

import pytest

from local.processes import wait_until
from observability.tests.payloads import alert, body
from tests.installation import TOKEN, Installation
from tests.raw_http import PATIENCE_SECONDS, Answer, Web, chunk, gunicorn, head

pytestmark = pytest.mark.processes

HOST = "127.0.0.1"
WEBHOOK = "/api/v1/alerts/webhook"
LOGIN = "/accounts/login/"
WRONG_TOKEN = {401, 429}  # 429 when the other tests of this minute have sent many
# With a cookie, so that the body is read to compare it with the form's token.
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"csrftoken={'x' * 32}"}
REQUEST_SECONDS = 10
SLOW = {
    "head": b"GET /api/v1/ping HTTP/1.1\r\nX-Slow: ",
    "nothing": b"",
    "webhook without a token": head("POST", WEBHOOK, HOST, {"Content-Length": "10000000"}),
    "webhook without a token, short": head("POST", WEBHOOK, HOST, {"Content-Length": "1000"}),
    "sign-in, short": head("POST", LOGIN, HOST, FORM | {"Content-Length": "30000"}) + b"login=",
    "sign-in, long": head("POST", LOGIN, HOST, FORM | {"Content-Length": "100000"}) + b"login=",
    "sign-in, in chunks": head("POST", LOGIN, HOST, FORM | {"Transfer-Encoding": "chunked"}) + chunk(b"x"),
    "sign-in, asks first": head(
        "POST", LOGIN, HOST, FORM | {"Content-Length": "9", "Expect": "100-continue"}
    ),
}


@contextmanager
def slow_clients(web: Web, number: int) -> Iterator[list[tuple[str, socket.socket]]]:
    """`number` connections, each with the beginning of a request and then a byte twice a second."""
    stopped = threading.Event()
    with ExitStack() as stack:
        clients = [(kind, stack.enter_context(web.connect())) for kind in [*SLOW] * (number // len(SLOW))]
        for kind, client in clients:
            client.sendall(SLOW[kind])

        def trickle() -> None:
            while not stopped.wait(0.5):
                for kind, client in clients:
                    if kind != "nothing":
                        with suppress(OSError):
                            client.send(b"1")

        sender = threading.Thread(target=trickle)
        sender.start()
        stack.callback(sender.join)
        stack.callback(stopped.set)
        yield clients


def answer_of(client: socket.socket) -> Answer:
    response = HTTPResponse(client)
    response.begin()
    return Answer(response)


def has_ended(client: socket.socket) -> bool:
    client.settimeout(PATIENCE_SECONDS)
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def seconds(call: Callable[[], Answer]) -> float:
    began = time.monotonic()
    assert call().status == 200
    return time.monotonic() - began


def post_alert(web: Web) -> Answer:
    sent = body(alert(1, severity="info"))
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Length": str(len(sent))}
    return web.send(head("POST", WEBHOOK, HOST, headers), sent)


@pytest.fixture(scope="module")
def web(running_installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    variables = {"WEB_CONCURRENCY": "2", "WEB_THREADS": "4", "WEB_REQUEST_SECONDS": str(REQUEST_SECONDS)}
    with gunicorn(running_installation, tmp_path_factory.mktemp("slow"), **variables) as running:
        yield running


def test_200_slow_clients_delay_nobody_and_are_closed(web: Web) -> None:
    with slow_clients(web, 200) as clients:
        began = time.monotonic()
        pings = [seconds(lambda: web.get("/api/v1/ping")) for _ in range(5)]
        webhooks = [seconds(lambda: post_alert(web)) for _ in range(5)]
        assert web.get(LOGIN).status == 200
        assert time.monotonic() - began < REQUEST_SECONDS, "the slow clients were still there"
        assert statistics.median(pings) < 1
        assert statistics.median(webhooks) < 2
        for kind, client in clients:
            assert has_ended(client), kind
        assert time.monotonic() - began < PATIENCE_SECONDS


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (head("POST", WEBHOOK, HOST, {"Content-Length": "10000000"}), WRONG_TOKEN),
        (head("POST", WEBHOOK, HOST, {"Content-Length": "1000"}) + b"{", WRONG_TOKEN),
        (head("POST", WEBHOOK, HOST, {"Transfer-Encoding": "chunked"}) + chunk(b"{"), WRONG_TOKEN),
        (b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 100_000, {431}),
    ],
    ids=["long", "short", "chunks", "head"],
)
def test_a_refused_request_is_closed_and_its_body_is_not_awaited(
    web: Web, sent: bytes, statuses: set[int]
) -> None:
    with web.connect() as client:
        client.sendall(sent)
        answer = answer_of(client)
        assert answer.status in statuses
        assert answer.headers["Connection"] == "close"
        assert has_ended(client)


def test_a_refused_request_whose_body_has_arrived_keeps_its_connection(web: Web) -> None:
    with web.connect() as client:
        for _ in range(2):
            client.sendall(head("POST", WEBHOOK, HOST, {"Content-Length": "2"}) + b"{}")
            answer = answer_of(client)
            assert answer.status in WRONG_TOKEN
            assert answer.headers["Connection"] == "keep-alive"


def test_a_client_that_sends_slowly_but_in_time_is_answered(web: Web) -> None:
    sent = body(alert(2, severity="info"))
    request = head(
        "POST", WEBHOOK, HOST, {"Authorization": f"Bearer {TOKEN}", "Content-Length": str(len(sent))}
    )
    with web.connect() as client:
        for part in (request[:20], request[20:], sent[:50], sent[50:]):
            client.sendall(part)
            threading.Event().wait(0.1)
        assert answer_of(client).status == 200


def test_what_has_not_arrived_in_time_is_told_so(web: Web) -> None:
    with web.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        answer = answer_of(client)
        assert (answer.status, answer.headers["Connection"]) == (408, "close")
        assert has_ended(client)


def test_bodies_beyond_the_share_of_threads_are_refused_at_once(web: Web) -> None:
    """Chunks, because their length is not known: a thread has to wait for them."""
    with ExitStack() as stack:
        clients = [stack.enter_context(web.connect()) for _ in range(8)]
        for client in clients:
            client.sendall(SLOW["sign-in, in chunks"])
        answers = [answer_of(client) for client in clients]
    assert {answer.status for answer in answers} == {400, 503}
    refused = [answer for answer in answers if answer.status == 503]
    assert {answer.headers["Retry-After"] for answer in refused} == {"5"}
    assert "<h1>Too much at once</h1>" in refused[0].text


def test_slow_clients_do_not_delay_a_stop(running_installation: Installation, tmp_path: Path) -> None:
    with ExitStack() as stack:
        with gunicorn(running_installation, tmp_path, WEB_REQUEST_SECONDS="600") as web:
            clients = [stack.enter_context(web.connect()) for _ in range(8)]
            for client in clients:
                client.sendall(SLOW["head"])
            assert web.get("/api/v1/ping").status == 200
            began = time.monotonic()
        assert time.monotonic() - began < 25, "gunicorn's graceful_timeout is 30"
        assert wait_until(lambda: all(has_ended(client) for client in clients), PATIENCE_SECONDS)
