"""A fake vendor: a real server on a loopback port that sends exactly the bytes that a test chooses."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

Behaviour = Callable[["Visit"], None]


@dataclass
class Visit:
    """One request on a connection, read whole."""

    connection: socket.socket
    stopped: threading.Event
    head: str
    body: bytes

    def answer(self, status: str, body: bytes = b"", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.connection.sendall("\r\n".join(lines).encode("latin-1") + body)

    def trickle(self, start: bytes) -> None:
        """`start` at once, then a byte every 20 ms; "END" after ten seconds, for which nobody should wait."""
        self.connection.sendall(start)
        for _ in range(500):
            if self.stopped.wait(0.02):
                return
            self.connection.sendall(b"x")
        self.connection.sendall(b"END")
        self.connection.shutdown(socket.SHUT_RDWR)

    def hang(self) -> None:
        self.stopped.wait()

    def reset(self) -> None:
        """RST, not FIN: as a crashed host or a load balancer does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionResetError  # leaves serve(), which closes the connection


@dataclass
class Vendor:
    url: str
    requests: list[Visit] = field(default_factory=list)
    connections: int = 0


@contextlib.contextmanager
def vendor(behaviour: Behaviour, *, reads: bool = True) -> Iterator[Vendor]:
    """Serve `behaviour` until the block ends. Without `reads`, the connection is accepted and that is all."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()
    serving = Vendor(f"http://127.0.0.1:{listener.getsockname()[1]}/services/T000/B000/secretsecret")
    threads: list[threading.Thread] = []

    def accept() -> None:
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                connection, _ = listener.accept()
                serving.connections += 1
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if not reads:
                stopped.wait()
                return
            with connection.makefile("rb") as stream:
                while (visit := _read(connection, stream, stopped)) is not None:
                    serving.requests.append(visit)
                    behaviour(visit)

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield serving
    finally:
        stopped.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        _hang_up(serving)
        for thread in threads:
            thread.join()


def _hang_up(serving: Vendor) -> None:
    """Wake the threads that wait for the next request on a connection that the client keeps."""
    for visit in serving.requests:
        with contextlib.suppress(OSError):
            visit.connection.shutdown(socket.SHUT_RDWR)


def _read(connection: socket.socket, stream: BinaryIO, stopped: threading.Event) -> Visit | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    headers = head.decode("latin-1")
    lengths = [
        line.partition(":")[2] for line in headers.split("\r\n") if line.lower().startswith("content-length:")
    ]
    return Visit(connection, stopped, headers, stream.read(int(lengths[0]) if lengths else 0))
