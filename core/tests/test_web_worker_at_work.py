"""The worker serves real connections, in a thread of the test; its event loop is gunicorn's."""

from __future__ import annotations

import os
import re
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from core import web_worker
from core.arriving import LONGEST_COLLECTED_BODY, LONGEST_HEAD
from core.web_worker import LINGER_SECONDS, STOP_SECONDS, WebWorker
from local.processes import wait_until

WAIT_SECONDS = 60.0  # an end that a busy machine does not reach
GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
BEGUN, REST = b"GET / HTT", b"P/1.1\r\nHost: a\r\n\r\n"
LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n", re.IGNORECASE)


def posted(length: int, path: bytes = b"", body: bytes = b"") -> bytes:
    return b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (path, length, body)


class Worker(WebWorker):
    """Hours for a request, unless a test says less."""

    request_seconds = 3600.0
    begun_at_head = (b"/early",)


class Server:
    """One worker at work. `began`: the paths whose application has begun, oldest first."""

    def __init__(self, threads: int, connections: int) -> None:
        configuration = Config()
        settings = {"threads": threads, "worker_connections": connections, "keepalive": 3600}
        for name, value in (settings | {"graceful_timeout": int(WAIT_SECONDS)}).items():
            configuration.set(name, value)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.began: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        application = SimpleNamespace(wsgi=lambda: self.answer)
        log = Logger(configuration)
        self.worker = Worker(1, os.getppid(), [self.listener], application, 30, configuration, log)
        self.worker.tpool = self.worker.get_thread_pool()
        self.worker.poller = selectors.DefaultSelector()
        self.worker.method_queue.init()
        self.worker.load_wsgi()
        self.thread = threading.Thread(target=self.worker.run)
        self.thread.start()

    def answer(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answers with the body; /early with 413, unread; /slow when the test lets it."""
        path = environ["PATH_INFO"]
        self.began.append(path)
        if path == "/slow":
            self.may_answer.wait(WAIT_SECONDS)
        status, body = ("413 Content Too Large", b"") if path == "/early" else ("200 OK", b"read ")
        if path != "/early":
            body += environ["wsgi.input"].read()
        start_response(status, [("Content-Length", str(len(body)))])
        return [body]

    def stop(self) -> None:
        self.may_answer.set()
        self.worker.handle_exit(None, None)
        self.thread.join()
        self.worker.tpool.shutdown()
        self.worker.tmp.close()


class Client:
    """A connection to the worker."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(server.address, WAIT_SECONDS)
        self.is_served = server.thread.is_alive
        self.received = b""
        self.head = b""  # of the last answer

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, bytes]:
        """Returns status and body of the next answer. Raises ConnectionResetError for a reset."""
        while (end := self.received.find(b"\r\n\r\n")) < 0:
            self.receive()
        self.head = self.take(end + 4)
        length = LENGTH.search(self.head)
        assert length is not None, self.head
        while len(self.received) < int(length[1]):
            self.receive()
        return int(self.head.split()[1]), self.take(int(length[1]))

    def take(self, size: int) -> bytes:
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def receive(self) -> None:
        data = self.next_bytes()
        assert data, f"closed after {self.received!r}"
        self.received += data

    def next_bytes(self) -> bytes:
        """Returns what the worker sends next; b"" when it has closed its side."""
        end = time.monotonic() + WAIT_SECONDS
        while not select.select([self.socket], [], [], 0.1)[0]:
            assert self.is_served(), "the worker has failed"
            assert time.monotonic() < end, "nothing came"
        return self.socket.recv(65_536)

    def is_closed(self) -> bool:
        """Waits for the end of what the worker sends, which has to come next."""
        return self.received + self.next_bytes() == b""

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


Connect = Callable[[], Client]


@contextmanager
def serving(*, threads: int = 4, connections: int = 8) -> Iterator[tuple[Server, Connect]]:
    """Yields a server and what makes a client. At the end no connection may be left."""
    server = Server(threads, connections)
    clients: list[Client] = []

    def connect() -> Client:
        clients.append(Client(server))
        return clients[-1]

    try:
        yield server, connect
    finally:
        for client in clients:
            client.socket.close()
        server.stop()
    worker = server.worker
    assert (worker.nr_conns, worker.arriving, worker.lingering) == (0, {}, {})


def happens(condition: Callable[[], Any]) -> bool:
    return wait_until(condition, WAIT_SECONDS)


# --- A request arrives ---


def test_requests_of_one_connection_are_answered_in_turn() -> None:
    with serving() as (server, connect):
        client = connect()
        for number in range(3):
            client.send(GET % b"%d" % number)
            assert client.answer() == (200, b"read ")
        client.send(GET % b"3" + GET % b"4" + posted(3, b"5", b"abc"))
        assert [client.answer() for _ in range(3)] == [(200, b"read "), (200, b"read "), (200, b"read abc")]
        assert server.began == [f"/{number}" for number in range(6)]
        assert server.worker.nr_conns == 1


def test_a_request_that_arrives_byte_by_byte_begins_when_it_is_whole() -> None:
    with serving() as (server, connect):
        client = connect()
        whole = posted(3, b"", b"abc")
        for place in range(len(whole) - 1):
            client.send(whole[place : place + 1])
        assert happens(lambda: any(len(each.data) == len(whole) - 1 for each in arriving(server)))
        assert server.began == []
        client.send(whole[-1:])
        assert client.answer() == (200, b"read abc")


def arriving(server: Server) -> list[Any]:
    return list(server.worker.arriving.values())


def test_many_that_arrive_keep_no_thread_from_others() -> None:
    with serving(threads=1, connections=20) as (server, connect):
        slow = [connect() for _ in range(10)]
        for client in slow:
            client.send(GET[:-4] % b"")
        assert happens(lambda: len(arriving(server)) == 10)
        quick = connect()
        quick.send(GET % b"quick")
        assert quick.answer() == (200, b"read ")
        for client in slow:
            client.send(b"\r\n\r\n")
            assert client.answer() == (200, b"read ")


def test_a_long_body_is_read_by_the_thread() -> None:
    with serving() as (server, connect):
        client = connect()
        length = LONGEST_COLLECTED_BODY + 1
        client.send(posted(length, b"long"))
        assert happens(lambda: server.began == ["/long"])
        client.send(b"x" * length)
        assert client.answer() == (200, b"read " + b"x" * length)
        client.send(GET % b"next")
        assert client.answer() == (200, b"read ")


def test_a_head_that_is_too_long_is_refused() -> None:
    with serving() as (server, connect):
        client = connect()
        client.send(b"GET / HTTP/1.1\r\n" + b"a" * (LONGEST_HEAD - 15))
        assert client.answer() == (431, b"")
        assert client.head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert client.is_closed()
        assert server.began == []


def test_a_client_that_sends_no_more_is_answered_if_its_head_is_there() -> None:
    """What the parser says of a body that ends too early is its own."""
    with serving() as (server, connect):
        whole, cut, headless = connect(), connect(), connect()
        whole.send(GET % b"whole")
        cut.send(posted(5, b"cut", b"abc"))
        headless.send(b"GET / HTTP/1.1\r\n")
        for client in (whole, cut, headless):
            client.socket.shutdown(socket.SHUT_WR)
        assert whole.answer() == (200, b"read ")
        assert happens(lambda: "/cut" in server.began)
        assert headless.is_closed()
        assert sorted(server.began) == ["/cut", "/whole"]


def test_a_client_that_was_reset_leaves_nothing() -> None:
    with serving() as (server, connect):
        client = connect()
        client.send(BEGUN)
        assert happens(lambda: arriving(server))
        client.reset()
        assert happens(lambda: server.worker.nr_conns == 0)


# --- Its time is over ---


def test_what_has_not_arrived_in_time_is_refused_and_silence_is_closed() -> None:
    with serving() as (server, connect):
        begun, silent = connect(), connect()
        begun.send(BEGUN)
        assert happens(lambda: sorted(len(each.data) for each in arriving(server)) == [0, 9])
        server.worker.request_seconds = 0.0
        assert begun.answer() == (408, b"")
        assert begun.head == b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        assert begun.is_closed()
        assert silent.is_closed()


def test_a_request_that_arrives_has_its_time() -> None:
    with serving() as (server, connect):
        first = connect()
        first.send(BEGUN)
        assert happens(lambda: arriving(server))
        second = connect()
        second.send(BEGUN)
        assert happens(lambda: len(arriving(server)) == 2)
        [oldest, youngest] = arriving(server)
        oldest.began_at -= 2 * server.worker.request_seconds
        youngest.began_at -= 2 * STOP_SECONDS  # which only a stopping worker looks at
        assert first.answer() == (408, b"")
        assert happens(lambda: arriving(server) == [youngest])
        second.send(REST)
        assert second.answer() == (200, b"read ")


def test_a_body_has_the_time_that_its_head_has_left() -> None:
    with serving() as (server, connect):
        client = connect()
        server.worker.request_seconds = 3.0
        client.send(posted(LONGEST_COLLECTED_BODY + 1, b"long"))
        assert client.is_closed()  # the application did not get its body
        assert server.began == ["/long"]


def test_a_full_worker_closes_the_oldest_that_has_not_arrived() -> None:
    with serving(connections=3) as (server, connect):
        oldest = connect()
        oldest.send(BEGUN)
        assert happens(lambda: arriving(server))
        kept = connect()
        kept.send(GET % b"")
        assert kept.answer() == (200, b"read ")
        last = connect()
        last.send(GET % b"last")
        assert last.answer() == (200, b"read ")
        assert oldest.answer() == (408, b"")
        assert oldest.is_closed()


def test_kept_connections_take_half_of_the_worker_at_most() -> None:
    assert [made(connections=count).max_keepalived for count in (4, 5, 500)] == [2, 2, 250]


@pytest.mark.parametrize(("threads", "places"), [(1, 1), (2, 1), (4, 2), (5, 2)])
def test_half_of_the_threads_may_wait_for_bodies(threads: int, places: int) -> None:
    worker = made(threads=threads)
    taken = [worker.places.acquire(blocking=False) for _ in range(places + 1)]
    assert taken == [True] * places + [False]


def made(threads: int = 4, connections: int = 8) -> Worker:
    configuration = Config()
    configuration.set("threads", threads)
    configuration.set("worker_connections", connections)
    worker = Worker(1, 1, [], None, 30, configuration, None)
    worker.tmp.close()
    return worker


def test_bodies_wait_in_no_more_threads_than_have_a_place() -> None:
    with serving(threads=4) as (server, connect):
        length = LONGEST_COLLECTED_BODY + 1
        waiting = [connect() for _ in range(2)]
        for client in waiting:
            client.send(posted(length, b"long"))
        assert happens(lambda: server.began == ["/long", "/long"])
        assert happens(lambda: not has_place(server))
        third = connect()
        third.send(posted(length, b"third"))
        assert third.is_closed()
        for client in waiting:
            client.send(b"x" * length)
            assert client.answer() == (200, b"read " + b"x" * length)


def has_place(server: Server) -> bool:
    is_free = server.worker.places.acquire(blocking=False)
    if is_free:
        server.worker.places.release()
    return is_free


# --- A connection ends ---


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed connection is read for an hour."""
    monkeypatch.setattr(web_worker, "LINGER_SECONDS", 3600.0)


def read_from_lingering(server: Server) -> int:
    return sum(read for _since, read in server.worker.lingering.values())


def test_a_refused_client_that_still_sends_gets_the_answer_and_no_reset(patience: None) -> None:
    with serving() as (server, connect):
        client = connect()
        client.send(posted(10_000_000, b"early"))
        assert happens(lambda: server.worker.lingering)
        client.send(b"x" * 100_000)
        assert happens(lambda: read_from_lingering(server) == 100_000)
        assert client.answer() == (413, b"")
        assert client.is_closed()
        client.socket.close()
        assert happens(lambda: server.worker.nr_conns == 0)


def test_a_refused_client_that_resets_leaves_nothing(patience: None) -> None:
    with serving() as (server, connect):
        client = connect()
        client.send(posted(10_000_000, b"early"))
        assert client.answer() == (413, b"")
        assert happens(lambda: server.worker.lingering)
        client.reset()
        assert happens(lambda: server.worker.nr_conns == 0)


@pytest.mark.parametrize("end", [lambda it, conn: it.refuse(conn, b"408"), lambda it, conn: it.linger(conn)])
def test_a_client_that_has_gone_already_is_closed(end: Callable[[Worker, Any], None]) -> None:
    def fail(_data: object) -> None:
        raise BrokenPipeError

    worker = made()
    worker.nr_conns = 1
    closed: list[bool] = []
    gone = SimpleNamespace(send=fail, shutdown=fail)
    end(worker, SimpleNamespace(sock=gone, close=lambda: closed.append(True)))
    assert (closed, worker.nr_conns, worker.lingering) == ([True], 0, {})


def test_a_refused_client_that_sends_without_end_is_closed(patience: None) -> None:
    with serving() as (server, connect):
        client = connect()
        client.send(posted(10**9, b"early"))
        assert happens(lambda: server.worker.lingering)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.send(b"x" * 64_000_000)  # more than the buffers between the two hold
        assert happens(lambda: server.worker.nr_conns == 0)


def test_a_refused_client_that_keeps_silent_is_closed_after_a_moment() -> None:
    with serving() as (server, connect):
        client, other = connect(), connect()
        other.send(BEGUN)
        assert happens(lambda: any(each.data for each in arriving(server)))
        began = time.monotonic()
        client.send(posted(10_000_000, b"early"))
        assert client.answer() == (413, b"")
        assert client.is_closed()
        assert happens(lambda: server.worker.nr_conns == 1)
        assert time.monotonic() - began >= LINGER_SECONDS
        other.send(REST)
        assert other.answer() == (200, b"read ")


# --- The worker stops ---


def test_a_stopping_worker_answers_what_it_has_and_refuses_what_does_not_come() -> None:
    with serving() as (server, connect):
        server.may_answer.clear()
        working, arrives, never = connect(), connect(), connect()
        working.send(GET % b"slow")
        assert happens(lambda: server.began)
        arrives.send(BEGUN)
        never.send(BEGUN[:5])
        assert happens(lambda: sorted(len(each.data) for each in arriving(server)) == [5, 9])
        for each in arriving(server):
            each.began_at += 3600 * (len(each.data) == 9)  # it comes in time, however busy the machine is
        server.worker.handle_exit(None, None)
        arrives.send(REST)
        assert arrives.answer() == (200, b"read ")
        assert never.answer() == (408, b"")
        server.may_answer.set()
        assert working.answer() == (200, b"read ")
        assert working.is_closed()
