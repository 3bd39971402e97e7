"""gunicorn's threaded worker, whose threads get only what has arrived (docs/adr/0019).

gunicorn's own gives a connection to a thread when it is accepted, and the thread waits for head and body: as
many slow clients as there are threads stop it. Here the event loop collects heads and short bodies, within
one deadline for both, and also waits for the end of a connection that has been closed. Only methods and
attributes of ThreadWorker without an underscore are used; core/tests/test_web_worker.py names them.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from threading import Semaphore
from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from core.arriving import Arrival, ClientSocket

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RECEIVED_AT_ONCE = 16 * 1024  # bytes
STOP_SECONDS = 2.0  # how long a stopping worker collects a request that has begun to arrive
LINGER_SECONDS = 2.0  # how long a closed connection is read, so that no reset overtakes the answer
LINGER_BYTES = 1024 * 1024


class WebWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """A subclass sets `request_seconds`, the deadline for head and body together, and `begun_at_head`, the
    paths whose application decides before it reads the body, also a short one."""

    request_seconds = 60.0
    begun_at_head: tuple[bytes, ...] = ()
    wsgi: WSGIApplication

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.max_keepalived = self.worker_connections // 2
        self.places = Semaphore(max(1, self.cfg.threads // 2))
        self.arriving: dict[Any, Arrival] = {}  # by connection, the oldest first
        self.lingering: dict[Any, tuple[float, int]] = {}  # since when, and bytes read; the oldest first

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = closing_refused(self.wsgi)

    # --- The worker stops ---

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001  (gunicorn's signature)
        super().set_accept_enabled(enabled)
        if not self.alive:
            self.leave_listeners()

    def leave_listeners(self) -> None:
        """Takes the connections that the kernel has accepted for this worker, and closes its listeners.

        gunicorn keeps them open until the last request is answered: connections that come meanwhile wait in
        the kernel and are reset at the end. A proxy that is refused goes to another replica at once.
        """
        for listener in self.sockets:
            before = -1
            while listener.fileno() >= 0 and before < self.nr_conns < self.worker_connections:
                before = self.nr_conns
                self.accept(listener)
            listener.close()

    # --- A request arrives ---

    def enqueue_req(self, conn: Any) -> None:
        """Collects the connection's next request in the event loop before a thread gets it."""
        if not isinstance(conn.sock, ClientSocket):
            conn.sock = ClientSocket(conn.sock, self.places)
        conn.init()
        conn.sock.settimeout(0)
        arrival = self.arriving[conn] = Arrival(self.begun_at_head)
        arrival.add(conn.parser.unreader.take_buffered())
        if not self.collect(conn, arrival):
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_arriving, conn))

    def on_arriving(self, conn: Any, client: ClientSocket) -> None:
        if self.collect(conn, self.arriving[conn]):
            self.poller.unregister(client)

    def collect(self, conn: Any, arrival: Arrival) -> bool:
        """Takes what has arrived. Returns whether the event loop has done its part for this request."""
        has_ended = False
        if not arrival.is_ready:
            try:
                data = conn.sock.receive(RECEIVED_AT_ONCE)
            except BlockingIOError:
                return False
            except OSError:
                data = b""
            arrival.add(data)
            has_ended = not data
        if arrival.is_ready or (has_ended and arrival.has_head):
            self.begin(conn)
        elif arrival.is_too_long:
            self.refuse(conn, b"431 Request Header Fields Too Large")
        elif has_ended:
            self.close(conn)
        else:
            return False
        return True

    def begin(self, conn: Any) -> None:
        """Gives the request to a thread."""
        arrival = self.arriving.pop(conn)
        conn.parser.unreader.unread(bytes(arrival.data))
        conn.sock.begin(arrival, arrival.began_at + self.request_seconds)
        super().enqueue_req(conn)

    def handle_request(self, req: Any, conn: Any) -> bool:
        conn.sock.request = req
        try:
            return bool(super().handle_request(req, conn))
        finally:
            conn.sock.end()

    # --- A connection ends ---

    def finish_request(self, conn: Any, future: Any) -> None:
        if not future.cancelled() and not future.exception() and future.result():
            super().finish_request(conn, future)
        else:
            self.linger(conn)

    def linger(self, conn: Any) -> None:
        """Closes the connection for writing, and reads on for a moment: a reset would overtake the answer."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(conn)
            return
        self.lingering[conn] = time.monotonic(), 0
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.discard, conn))

    def discard(self, conn: Any, client: ClientSocket) -> None:
        try:
            data = client.receive(RECEIVED_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        since, read = self.lingering[conn]
        self.lingering[conn] = since, read + len(data)
        if not data or read > LINGER_BYTES:
            self.poller.unregister(client)
            self.close(conn)

    def refuse(self, conn: Any, status: bytes) -> None:
        with suppress(OSError):
            conn.sock.send(b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status)
        self.close(conn)

    def close(self, conn: Any) -> None:
        self.arriving.pop(conn, None)
        self.lingering.pop(conn, None)
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Closes the connections whose time is over. gunicorn calls it in each round of the event loop."""
        super().murder_pending()
        now = time.monotonic()
        patience = self.request_seconds if self.alive else STOP_SECONDS
        while self.arriving:
            conn, arrival = next(iter(self.arriving.items()))
            is_full = self.nr_conns >= self.worker_connections
            if arrival.began_at + patience > now and not is_full:
                break
            self.poller.unregister(conn.sock)
            if arrival.data:
                self.refuse(conn, b"408 Request Timeout")
            else:
                self.close(conn)
        while self.lingering:
            conn, (since, _read) = next(iter(self.lingering.items()))
            if since + LINGER_SECONDS > now:
                break
            self.poller.unregister(conn.sock)
            self.close(conn)


def closing_refused(application: WSGIApplication) -> WSGIApplication:
    """Returns the application; a refused request whose body has not arrived is the last of its connection.

    The client could not send another before the rest of that body.
    """

    def closing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        client: ClientSocket = environ["gunicorn.socket"]
        if client.is_whole:
            return application(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            if status >= "400":
                client.request.force_close()
            return start_response(status, headers, *error)

        return application(environ, start)

    return closing
