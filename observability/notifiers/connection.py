"""Connections that end at a deadline and know whether any of the request left this machine.

The timeouts of `requests` are per read: a server that sends a byte now and then holds a worker for ever.
Here another thread shuts the socket down at the deadline, which wakes whatever waits on it: handshake,
headers or body.
"""

from __future__ import annotations

import contextlib
import math
import os
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

    @property
    def ends_at(self) -> float:
        """In seconds of time.monotonic()."""
        return self._ends_at

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

    def cut(self) -> None:
        """Ends whatever waits on a watched connection."""
        with self._lock:
            self.passed = True
            for twin in self._sockets:
                _shut(twin)

    def __enter__(self) -> Self:
        _current.deadline = self
        _cutter.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Afterwards the connection may go on to the next request; it is not ours to cut any more."""
        _cutter.remove(self)
        _current.deadline = None
        with self._lock:
            self._sockets.clear()
        for twin in self._to_close:
            twin.close()


class Cutter:
    """One thread that cuts what is over its deadline. A timer thread for each request cost a third of it."""

    def __init__(self) -> None:
        self._running: set[Deadline] = set()
        self._condition = threading.Condition()
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    def add(self, deadline: Deadline) -> None:
        with self._condition:
            self._running.add(deadline)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            if deadline.ends_at < self._wakes_at:
                self._condition.notify()

    def remove(self, deadline: Deadline) -> None:
        """The thread is not woken for it: it looks again when the next deadline would have been."""
        with self._condition:
            self._running.discard(deadline)

    def _run(self) -> None:
        while True:
            for deadline in self._wait_for_passed():
                deadline.cut()

    def _wait_for_passed(self) -> list[Deadline]:
        with self._condition:
            now = time.monotonic()
            passed = [deadline for deadline in self._running if deadline.ends_at <= now]
            self._running.difference_update(passed)
            if not passed:
                self._wakes_at = min((deadline.ends_at for deadline in self._running), default=math.inf)
                self._condition.wait(None if self._wakes_at == math.inf else self._wakes_at - now)
            return passed


_cutter = Cutter()


def _start_anew() -> None:
    """A forked process has none of its parent's threads."""
    global _cutter
    _cutter = Cutter()


os.register_at_fork(after_in_child=_start_anew)


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
