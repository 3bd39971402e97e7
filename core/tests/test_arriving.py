"""When a thread can begin a request, and how it waits for the rest."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from threading import Semaphore, Timer

import pytest

from core.arriving import LONGEST_COLLECTED_BODY, LONGEST_HEAD, Arrival, ClientSocket, NoPlace

WEBHOOK = b"/alerts"


def arrived(*parts: bytes) -> Arrival:
    arrival = Arrival((WEBHOOK,))
    for part in parts:
        arrival.add(part)
    return arrival


def post(path: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: amani", *headers]) + b"\r\n\r\n"


SHORT = b"Content-Length: 5"
LONGEST = b"Content-Length: %d" % LONGEST_COLLECTED_BODY
LONG = b"Content-Length: %d" % (LONGEST_COLLECTED_BODY + 1)
REFERRED = b"Referer: http://amani" + WEBHOOK
CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("data", "is_ready", "is_whole"),
    [
        pytest.param(b"", False, False, id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: amani\r\n", False, False, id="half a head"),
        pytest.param(b"\r\n\r\n", True, True, id="a head without a line, for gunicorn to refuse"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: amani\r\n\r\n", True, True, id="no body"),
        pytest.param(post(b"/", SHORT), False, False, id="a short body is missing"),
        pytest.param(post(b"/", SHORT) + b"1234", False, False, id="most of a short body"),
        pytest.param(post(b"/", SHORT) + b"12345", True, True, id="a short body"),
        pytest.param(post(b"/", b"content-length:5 ") + b"1234", False, False, id="spelled otherwise"),
        pytest.param(post(b"/", SHORT) + b"12345GET / HTTP/1.1\r\n", True, True, id="and the next request"),
        pytest.param(post(b"/", SHORT) * 2, True, True, id="the next head is part of a body"),
        pytest.param(post(b"/", SHORT) + b"12345" + post(b"/"), True, True, id="and the whole next request"),
        pytest.param(post(b"/", LONGEST), False, False, id="the longest short body is missing"),
        pytest.param(post(b"/", SHORT, REFERRED), False, False, id="another header names the path"),
        pytest.param(post(b"/", LONG), True, False, id="a long body is missing"),
        pytest.param(post(b"/", CHUNKED), True, False, id="chunks"),
        pytest.param(post(b"/", CHUNKED) + b"0\r\n\r\n", True, False, id="chunks do not say how long"),
        pytest.param(post(b"/", SHORT, b"Expect: 100-continue"), True, False, id="waits for an answer"),
        pytest.param(post(WEBHOOK, SHORT), True, False, id="the head decides"),
        pytest.param(post(WEBHOOK, SHORT) + b"12345", True, True, id="the head decides, with its body"),
        pytest.param(post(b"/", b"Content-Length: many"), True, True, id="a length for gunicorn to refuse"),
    ],
)
def test_a_thread_begins(data: bytes, is_ready: bool, is_whole: bool) -> None:
    at_once, by_bytes = arrived(data), arrived(*[data[at : at + 1] for at in range(len(data))])
    for arrival in (at_once, by_bytes):
        assert (arrival.is_ready, arrival.is_whole) == (is_ready, is_whole)
        assert bytes(arrival.data) == data


def test_a_head_has_a_limit() -> None:
    assert not arrived(b"x" * LONGEST_HEAD).is_too_long
    assert arrived(b"x" * LONGEST_HEAD, b"x").is_too_long


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def client(sockets: tuple[socket.socket, socket.socket]) -> Iterator[ClientSocket]:
    with ClientSocket(sockets[0], Semaphore(0)) as client:
        client.settimeout(None)
        client.deadline = time.monotonic() + 60
        yield client


def test_what_has_arrived_needs_no_place(client: ClientSocket, sockets: tuple[socket.socket, ...]) -> None:
    sockets[1].sendall(b"body")
    assert client.recv(10) == b"body"


def test_no_thread_waits_without_a_place(client: ClientSocket) -> None:
    with pytest.raises(NoPlace):
        client.recv(10)


def test_a_place_is_given_back(client: ClientSocket) -> None:
    client.places = Semaphore(1)
    client.deadline = time.monotonic() + 0.01
    with pytest.raises(TimeoutError):
        client.recv(10)
    assert client.places.acquire(blocking=False)


def test_a_trusted_sender_needs_no_place_but_keeps_the_deadline(client: ClientSocket) -> None:
    client.is_trusted = True
    client.deadline = time.monotonic() + 0.01
    with pytest.raises(TimeoutError):
        client.recv(10)


def test_the_rest_of_an_answered_request_is_not_waited_for(client: ClientSocket) -> None:
    client.end()
    with pytest.raises(TimeoutError):
        client.recv(10)


def test_the_next_request_of_a_connection_is_trusted_and_timed_anew(client: ClientSocket) -> None:
    client.is_trusted = True
    client.begin(arrived(post(b"/", LONG)), time.monotonic() + 60)
    found = [client.is_whole]
    with pytest.raises(NoPlace):
        client.recv(10)
    client.begin(arrived(post(b"/")), time.monotonic() - 1)
    found.append(client.is_whole)
    assert found == [False, True]
    with pytest.raises(TimeoutError):
        client.recv(10)


def test_a_new_connection_neither_blocks_nor_has_a_request(sockets: tuple[socket.socket, ...]) -> None:
    with ClientSocket(sockets[0], Semaphore(1)) as client:
        assert (client.gettimeout(), client.is_whole, client.is_trusted) == (0, False, False)
        assert (client.family, client.type) == (sockets[1].family, sockets[1].type)
        with pytest.raises(TimeoutError):
            client.recv(10)


def test_what_is_received_is_what_is_there(client: ClientSocket, sockets: tuple[socket.socket, ...]) -> None:
    with pytest.raises(BlockingIOError):
        client.receive(10)
    sockets[1].sendall(b"body")
    assert (client.receive(3), client.receive(10)) == (b"bod", b"y")
    sockets[1].shutdown(socket.SHUT_WR)
    assert client.receive(10) == b""


@pytest.mark.parametrize("is_trusted", [False, True])
def test_a_thread_with_a_place_gets_what_arrives_later(
    is_trusted: bool, client: ClientSocket, sockets: tuple[socket.socket, ...]
) -> None:
    client.places, client.is_trusted = Semaphore(0 if is_trusted else 1), is_trusted
    Timer(0.02, sockets[1].sendall, [b"body"]).start()
    assert (client.recv(3), client.recv(10)) == (b"bod", b"y")


def test_the_time_of_a_request_begins_when_it_does() -> None:
    before = time.monotonic()
    assert before <= arrived().began_at <= time.monotonic()
