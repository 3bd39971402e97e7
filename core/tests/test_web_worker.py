"""The worker still fits the gunicorn that is installed; tests/test_slow_connections.py has it at work."""

from __future__ import annotations

import inspect
import logging
import selectors
import socket
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from core.web_worker import WebWorker, closing_refused

METHODS = {
    "enqueue_req": ["self", "conn"],
    "finish_request": ["self", "conn", "fs"],
    "handle_request": ["self", "req", "conn"],
    "murder_pending": ["self"],
    "load_wsgi": ["self"],
    "set_accept_enabled": ["self", "enabled"],
    "accept": ["self", "listener"],
}


@pytest.mark.parametrize("name", METHODS)
def test_gunicorn_has_the_method_that_the_worker_overrides(name: str) -> None:
    assert list(inspect.signature(getattr(ThreadWorker, name)).parameters) == METHODS[name]


@pytest.mark.parametrize(
    ("caller", "called"),
    [
        (ThreadWorker.accept, "self.enqueue_req(conn)"),
        (ThreadWorker.on_client_socket_readable, "self.enqueue_req(conn)"),
        (ThreadWorker.enqueue_req, "self.tpool.submit(self.handle, conn)"),
        (ThreadWorker.enqueue_req, "self.finish_request"),
        (ThreadWorker.handle, "self.handle_request(req, conn)"),
        (ThreadWorker.handle, "if not conn.initialized"),
        (ThreadWorker.run, "self.murder_pending()"),
        (ThreadWorker.run, "self.nr_conns < self.worker_connections"),
        (ThreadWorker.run, "self.set_accept_enabled(False)"),
        (ThreadWorker.run, "for s in self.sockets:"),
        (TConn.init, "if self.initialized:"),
        (TConn.init, "http.get_parser(self.cfg, self.sock, self.client)"),
        (SocketUnreader.chunk, "self.sock.recv(size)"),
    ],
)
def test_gunicorn_still_calls_it_there(caller: object, called: str) -> None:
    """Otherwise the worker would be gunicorn's own again, without an error."""
    assert called in inspect.getsource(caller)  # type: ignore[arg-type]  # a function of untyped code


def test_a_stopping_worker_takes_who_is_connected_and_refuses_who_comes_later() -> None:
    """gunicorn lets both wait in the kernel until it ends, and then resets them."""
    with socket.create_server(("127.0.0.1", 0)) as listener, selectors.DefaultSelector() as poller:
        worker = WebWorker(1, 1, [listener], None, 30, Config(), logging.getLogger(__name__))
        worker.poller = poller
        worker.set_accept_enabled(True)
        address = listener.getsockname()
        with socket.create_connection(address), socket.create_connection(address):
            worker.alive = False
            worker.set_accept_enabled(False)
            assert worker.nr_conns == len(worker.arriving) == 2
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            for connection in list(worker.arriving):
                worker.close(connection)
        worker.tmp.close()


@pytest.mark.parametrize(
    ("status", "is_whole", "closes"),
    [
        ("200 OK", False, False),
        ("399 Odd", False, False),
        ("400", False, True),
        ("413 Content Too Large", False, True),
        ("503 Service Unavailable", False, True),
        ("413 Content Too Large", True, False),
    ],
)
def test_a_refused_request_that_has_not_arrived_is_the_last_of_its_connection(
    status: str, is_whole: bool, closes: bool
) -> None:
    closed: list[bool] = []
    request = SimpleNamespace(force_close=lambda: closed.append(True))
    environ: Any = {"gunicorn.socket": SimpleNamespace(is_whole=is_whole, request=request)}
    started: list[tuple[Any, ...]] = []

    def application(given: Any, start_response: Any) -> Iterable[bytes]:
        assert given is environ
        assert start_response(status, [("Name", "value")], None) == "write"
        return [b"body"]

    def start_response(*arguments: Any) -> Any:
        started.append(arguments)
        return "write"

    answer: Any = closing_refused(application)(environ, start_response)
    assert (answer, started) == ([b"body"], [(status, [("Name", "value")], None)])
    assert closed == [True] * closes
