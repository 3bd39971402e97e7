"""Connections that end at a deadline and know whether any of the request left this machine.

The timeouts of `requests` are per read: a server that sends a byte now and then holds a worker for ever.
Here a timer shuts the socket down at the deadline, which wakes whatever waits on it: handshake, headers or
body.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager, ProxyManager

_current = threading.local()


class Deadline:
    """While entered, every guarded connection that this thread uses is cut after `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.request_began = False
        self.passed = False
        self._ends_at = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._to_close: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def remaining(self) -> float:
        return self._ends_at - time.monotonic()

    def watch(self, twin: socket.socket) -> None:
        with self._lock:
            self._sockets.append(twin)
            if self.passed:
                _shut(twin)

    def take_over(self, twin: socket.socket) -> None:
        """Close `twin` at the end: http.client closes what it won't keep before the body is read."""
        self._to_close.append(twin)

    def _cut(self) -> None:
        with self._lock:
            self.passed = True
            for twin in self._sockets:
                _shut(twin)

    def __enter__(self) -> Self:
        _current.deadline = self
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Afterwards the connection may go on to the next request; it is not ours to cut any more."""
        self._timer.cancel()
        _current.deadline = None
        with self._lock:
            self._sockets.clear()
        for twin in self._to_close:
            twin.close()


def _shut(twin: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the connection ended by itself
        twin.shutdown(socket.SHUT_RDWR)


def _deadline() -> Deadline | None:
    return getattr(_current, "deadline", None)


class _Guarded(HTTPConnection):
    """Keeps a twin of its socket: the same connection, another descriptor. TLS takes the first one over, and
    shutting the twin down stops both, whatever layer is waiting."""

    _twin: socket.socket | None = None
    _is_ready = False

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._drop_twin()
        self._twin = sock.dup()
        self._watch()
        return sock

    def connect(self) -> None:
        self._is_ready = False  # what is sent until connect() returns is the proxy's, not our request
        super().connect()
        self._is_ready = True

    def request(self, *arguments: Any, **keywords: Any) -> None:
        self._watch()  # a connection kept open since an earlier request
        super().request(*arguments, **keywords)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()  # as http.client would, but before the note below
        deadline = _deadline()
        if self._is_ready and deadline is not None:
            deadline.request_began = True
        super().send(data)

    def close(self) -> None:
        super().close()
        self._is_ready = False
        self._drop_twin()

    def _watch(self) -> None:
        deadline = _deadline()
        if deadline is not None and self._twin is not None:
            deadline.watch(self._twin)

    def _drop_twin(self) -> None:
        twin, self._twin, deadline = self._twin, None, _deadline()
        if twin is not None and deadline is not None:
            deadline.take_over(twin)
        elif twin is not None:
            twin.close()


class _GuardedHTTPS(_Guarded, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Guarded


class _PoolHTTPS(HTTPSConnectionPool):
    ConnectionCls = _GuardedHTTPS


class GuardedAdapter(HTTPAdapter):
    """For a requests.Session: its connections obey the Deadline that is entered."""

    def init_poolmanager(self, *arguments: Any, **keywords: Any) -> None:
        super().init_poolmanager(*arguments, **keywords)
        _use_guarded_pools(self.poolmanager)

    def proxy_manager_for(self, *arguments: Any, **keywords: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(*arguments, **keywords)
        _use_guarded_pools(manager)
        return manager


def _use_guarded_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _PoolHTTPS}
