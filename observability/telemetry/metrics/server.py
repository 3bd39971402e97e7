"""Serves `/metrics` and the ping of a worker or of beat that runs in a container of its own (METRICS_BIND).

Web answers for every process that shares its PROMETHEUS_MULTIPROC_DIR. A worker or beat with a directory of
its own is asked itself: its main process forks a child that answers for all of them. It is no thread, because
the children of the pool must not inherit one, and because a main process that waits for Redis must be seen.
"""

import atexit
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn
from time import monotonic
from typing import Any, NoReturn
from urllib.parse import urlsplit

import structlog
from django.conf import settings

from observability.telemetry.edge import ALIASES
from observability.telemetry.health import ping_answer
from observability.telemetry.metrics.exposition import Answer
from observability.telemetry.metrics.scrape import own_metrics_answer

log = structlog.get_logger(__name__)

ANSWERS: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
    "/metrics": own_metrics_answer,
    "/api/v1/ping": ping_answer,
}
UNKNOWN = Answer(404, [("Content-Type", "text/plain")], b"Here are /metrics and /api/v1/ping only.\n")

MOST_CONNECTIONS = 8  # at once; more are closed
CONNECTION_SECONDS = 10.0  # the longest that a connection may take
CHECK_SECONDS = 0.5  # how often the child looks whether its parent lives
LONGEST_WAIT_SECONDS = 30.0  # before a child that keeps ending is started again
WELL_AFTER_SECONDS = 60.0
OF_THE_PARENT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Handler(BaseHTTPRequestHandler):
    """One request on one connection. A body is never read."""

    timeout = 5.0  # for each read
    server_version = "Amani"
    sys_version = ""

    def answer(self) -> None:
        path = urlsplit(self.path).path
        find = ANSWERS.get(ALIASES.get(path, path))
        status, headers, body = UNKNOWN if find is None else find(self.environ())
        self.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = answer  # noqa: N815  (the names that http.server calls)

    def environ(self) -> dict[str, str]:
        """What the answers ask of a WSGI request."""
        headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}
        own = {"REQUEST_METHOD": self.command, "REMOTE_ADDR": self.client_address[0].partition("%")[0]}
        return headers | own

    def log_message(self, *_arguments: object) -> None:
        """Logs no requests, as web logs neither scrapes nor pings."""


class Server(ThreadingMixIn, HTTPServer):
    """Answers each connection in a thread, within bounds, until `is_orphan`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, host: str, port: int, is_orphan: Callable[[], bool]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.is_orphan = is_orphan
        self.began: dict[socket.socket, float] = {}
        self.lock = threading.Lock()
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """As HTTPServer, without its question to DNS for the own name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self.lock:
            if len(self.began) >= MOST_CONNECTIONS:
                return False
            self.began[request] = monotonic()
            return True

    def shutdown_request(self, request: Any) -> None:
        with self.lock:
            self.began.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Ends this process with its parent, and connections that take too long."""
        if self.is_orphan():
            os._exit(0)
        with self.lock:
            late = [one for one, began in self.began.items() if monotonic() - began > CONNECTION_SECONDS]
            for connection in late:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # the client has left
                    continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left or was too slow is no news; anything else is a mistake of ours."""
        log.debug("metrics_request_failed", exc_info=True)


class MetricsServer:
    """The child that serves, as its parent sees it."""

    def __init__(self) -> None:
        self.address: tuple[str, int] | None = None
        self.owner = 0  # the process that started it; its other children know it too
        self.child = 0  # 0: none runs
        self.started_at = 0.0
        self.wait_seconds = 0.0
        self.due_at = 0.0

    def start(self) -> None:
        """Starts the child, if METRICS_BIND says where it listens. `keep` is to be called each second."""
        self.address = settings.METRICS_BIND
        if self.address is None:
            return
        self.owner = os.getpid()
        atexit.register(self.stop)
        self.fork()

    def fork(self) -> None:
        if self.address is None:
            return
        parent = os.getpid()
        # A handler of the parent must not run in the child: beat's would give its turn away.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_THE_PARENT)
        try:
            self.child = os.fork()
            if self.child == 0:
                serve(self.address, parent, before)
        except OSError as error:  # no memory, or too many processes
            log.error("metrics_server_not_started", reason=str(error))  # noqa: TRY400  (the reason says it all)
            self.child = 0
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.started_at = monotonic()

    def keep(self) -> None:
        """Starts the child again when it has ended: at once, then after 1, 2, 4 … seconds."""
        if self.owner != os.getpid():
            return
        if self.child and not self.has_ended():
            return
        if self.child:
            log.warning("metrics_server_ended", seconds=round(monotonic() - self.started_at, 1))
            self.child = 0
            if monotonic() - self.started_at > WELL_AFTER_SECONDS:
                self.wait_seconds = 0.0
            self.due_at = monotonic() + self.wait_seconds
            self.wait_seconds = min(max(1.0, self.wait_seconds * 2), LONGEST_WAIT_SECONDS)
        if monotonic() >= self.due_at:
            self.fork()

    def has_ended(self) -> bool:
        try:
            return os.waitpid(self.child, os.WNOHANG)[0] != 0
        except ChildProcessError:  # other code of this process has waited for it
            return True

    def stop(self) -> None:
        if self.child and self.owner == os.getpid() and not self.has_ended():
            os.kill(self.child, signal.SIGTERM)
        self.child = self.owner = 0


def serve(address: tuple[str, int], parent: int, mask: Iterable[int]) -> NoReturn:
    """Runs the child."""
    try:
        for number in OF_THE_PARENT:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this one
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        listen(address, lambda: os.getppid() != parent)
    except Exception:  # the top of this process
        log.exception("metrics_server_failed")
    finally:
        os._exit(1)


def listen(address: tuple[str, int], is_orphan: Callable[[], bool]) -> None:
    """Serves at `address` for ever, or logs why it cannot."""
    try:
        server = Server(*address, is_orphan)
    except OSError as error:
        host, port = address
        log.error("metrics_bind_failed", setting="METRICS_BIND", host=host, port=port, reason=error.strerror)  # noqa: TRY400  (likewise)
        return
    with server:
        server.serve_forever(CHECK_SECONDS)


metrics_server = MetricsServer()
