"""Connections that end at a deadline and know whether any of the request left this machine.

The timeouts of `requests` are for each read: a server that sends a byte now and then would hold a worker for
ever. Here each read and each write gets only what is left until the deadline.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from http.client import HTTPResponse
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager, ProxyManager

SHORTEST_SECONDS = 0.001  # a socket's timeout of 0 means "do not wait", not "fail"
AT_ONCE_BYTES = 64 * 1024  # a longer body is not copied behind its head

_current = threading.local()


class Deadline:
    """While entered, everything on a guarded connection of this thread ends within `seconds`.

    Connecting may take as long again: for each address of a host, and for TLS, the clock begins anew.
    """

    def __init__(self, seconds: float) -> None:
        self.request_began = False
        self._ends_at = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        return self.remaining() <= 0

    def remaining(self) -> float:
        """Returns the seconds that are left; negative after the end."""
        return self._ends_at - time.monotonic()

    def limit(self, seconds: float | None) -> float:
        """Returns how long one operation may take that has a timeout of its own. Raises TimeoutError."""
        remaining = self.remaining()
        if remaining <= 0:
            raise TimeoutError("the total time was up")
        return max(SHORTEST_SECONDS, remaining if seconds is None else min(seconds, remaining))

    def __enter__(self) -> Self:
        _current.deadline = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _current.deadline = None


def current_deadline() -> Deadline | None:
    return getattr(_current, "deadline", None)


class _Reader(io.RawIOBase):
    """Reads an answer, and looks at the deadline before each read."""

    def __init__(self, stream: io.RawIOBase, connection: socket.socket, deadline: Deadline) -> None:
        self._stream = stream
        self._connection = connection
        self._timeout = connection.gettimeout()  # the caller's, for a single read
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._connection.settimeout(self._deadline.limit(self._timeout))
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        deadline = current_deadline()
        if deadline is not None:
            self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock, deadline))


class _Guarded(HTTPConnection):
    response_class = _Response
    _is_ready = False
    _held: list[bytes] | None = None  # parts of the request that are sent together

    def request(self, *arguments: Any, **options: Any) -> None:
        """Sends head and body together: in two packets they would wake the server twice."""
        self._held = []
        try:
            super().request(*arguments, **options)
            self._send_held()
        finally:
            self._held = None

    def _send_held(self) -> None:
        held, self._held = self._held, None
        if held:
            self.send(b"".join(held))

    def connect(self) -> None:
        self._is_ready = False  # what is sent until connect() returns is the proxy's, not our request
        deadline = current_deadline()
        if deadline is not None:
            self.timeout = deadline.limit(self.timeout)
        super().connect()
        self._is_ready = True

    def send(self, data: Any) -> None:
        if self._held is not None:
            if isinstance(data, bytes) and len(data) <= AT_ONCE_BYTES:
                self._held.append(data)
                return
            self._send_held()
        if self.sock is None:
            self.connect()  # as http.client would, but before the note below
        deadline = current_deadline()
        if deadline is not None:
            self.sock.settimeout(deadline.limit(None))
            deadline.request_began = deadline.request_began or self._is_ready
        super().send(data)

    def close(self) -> None:
        super().close()
        self._is_ready = False


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
