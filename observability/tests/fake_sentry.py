"""A Sentry over real HTTP: takes envelopes apart and keeps what is in them."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

from observability.tests.stand_in import StandIn
from observability.tests.waiting import wait_until

KEY = "0123456789abcdef0123456789abcdef"


class Received(NamedTuple):
    envelope: dict[str, Any]
    kind: str
    payload: dict[str, Any]


class FakeSentry(StandIn):
    """`status` is its answer to everything."""

    def __init__(self) -> None:
        self.status = 200
        self.received: list[Received] = []
        self.bodies: list[bytes] = []
        self.lock = threading.Lock()
        super().__init__()

    @property
    def dsn(self) -> str:
        return f"http://{KEY}@{self.address}/7"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with self.lock:
            self.bodies.append(body)
            self.received.extend(parse(body))
        handler.send_response(self.status)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    def of(self, kind: str) -> list[dict[str, Any]]:
        with self.lock:
            return [received.payload for received in self.received if received.kind == kind]

    def events(self, count: int = 1) -> list[dict[str, Any]]:
        """The errors, once there are `count`."""
        assert wait_until(lambda: len(self.of("event")) >= count), f"{len(self.of('event'))} events came"
        return self.of("event")

    def event(self) -> dict[str, Any]:
        """The only error."""
        (event,) = self.events()
        return event


def parse(body: bytes) -> list[Received]:
    """An envelope is lines: its header, then for each item a header with the length, and the payload."""
    header, _, rest = body.partition(b"\n")
    found = []
    while rest:
        line, _, rest = rest.partition(b"\n")
        item = json.loads(line)
        payload, rest = rest[: item["length"]], rest[item["length"] :].removeprefix(b"\n")
        found.append(Received(json.loads(header), item["type"], json.loads(payload)))
    return found
