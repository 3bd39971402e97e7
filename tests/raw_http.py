"""Requests byte for byte, which no client library would send, to a gunicorn of a test's own settings."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from local.children import Program
from local.ports import find_free_port
from local.processes import wait_until
from tests.installation import ROOT, Installation

PATIENCE_SECONDS = 60


class Answer:
    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Web:
    """A running gunicorn with the shipped configuration, at a port of 127.0.0.1 or a Unix socket's path."""

    def __init__(self, address: int | Path) -> None:
        self.address = address

    def connect(self) -> socket.socket:
        if isinstance(self.address, int):
            return socket.create_connection(("127.0.0.1", self.address), PATIENCE_SECONDS)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(PATIENCE_SECONDS)
        try:
            connection.connect(str(self.address))
        except OSError:
            connection.close()
            raise
        return connection

    def send(self, *parts: bytes, ends: bool = False) -> Answer:
        """The answer to `parts`; with `ends` nothing follows them on the connection."""
        method = parts[0].partition(b" ")[0].decode()
        with self.connect() as connection:
            with suppress(ConnectionError):  # answered before all was sent
                for part in parts:
                    connection.sendall(part)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            response = HTTPResponse(connection, method=method)
            response.begin()
            return Answer(response)

    def get(
        self, path: str, host: str | bytes | None = "127.0.0.1", headers: dict[str, str] | None = None
    ) -> Answer:
        return self.send(head("GET", path, host, headers or {}))

    def is_ready(self) -> bool:
        try:
            return self.get("/api/v1/readiness").status == 200
        except OSError:
            return False

    def counted(self, metric: str, **labels: str) -> float:
        """The sum of `metric` over its series that have `labels`."""
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        lines = [one for one in self.get("/metrics").text.splitlines() if one.startswith(f"{metric}{{")]
        return sum(float(one.rpartition(" ")[2]) for one in lines if all(label in one for label in wanted))


def head(method: str, path: str, host: str | bytes | None, headers: dict[str, str]) -> bytes:
    """A request's head, its headers as they are given."""
    lines = [f"{method} {path} HTTP/1.1".encode()]
    if host is not None:
        lines.append(b"Host: " + (host if isinstance(host, bytes) else host.encode()))
    lines += [f"{name}: {value}".encode() for name, value in headers.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunks(body: bytes, size: int) -> Iterator[bytes]:
    """The body in chunks, the first with an extension, with a trailer at the end: all that is allowed."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    for number, piece in enumerate(pieces):
        yield chunk(piece) if number else b"%x;part=first\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\nX-Sum: none\r\n\r\n"


def in_chunks(method: str, path: str, headers: dict[str, str], parts: Iterable[bytes]) -> tuple[bytes, ...]:
    return head(method, path, "127.0.0.1", headers | {"Transfer-Encoding": "chunked"}), *parts


@contextmanager
def gunicorn(installation: Installation, folder: Path, **variables: str) -> Iterator[Web]:
    """gunicorn with the settings of the installation, its database included, and `variables` on top."""
    installation.postgres.start()
    installation.valkey.start()
    port = find_free_port()
    own = {"PORT": str(port), "WEB_CONCURRENCY": "1", "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics")}
    bound = variables.get("WEB_BIND", "")
    web = Web(Path(bound.removeprefix("unix:")) if bound.startswith("unix:") else port)
    output = os.open(folder / "web.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py"]
    environment = installation.environment | own | variables
    program = Program("web", command, output=output, environment=environment, folder=ROOT)
    program.start()
    try:
        assert wait_until(web.is_ready, PATIENCE_SECONDS), (folder / "web.log").read_text()[-4000:]
        yield web
    finally:
        program.stop()
        os.close(output)
