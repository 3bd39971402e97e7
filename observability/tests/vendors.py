"""A fake vendor over real HTTP: keeps what it receives, and answers as the test sets it."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from observability.tests.stand_in import StandIn
from observability.tests.waiting import PATIENCE_SECONDS


@dataclass
class Reply:
    """One answer. `hang`: seconds before it; `reset`: take the request, then cut the connection."""

    status: int = 200
    body: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)
    hang: float = 0.0
    reset: bool = False


SLACK_OK = Reply()
PAGERDUTY_OK = Reply(202, '{"status":"success","message":"Event processed","dedup_key":"k"}')


@dataclass
class Received:
    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    at: float


class Vendor(StandIn):
    """`replies` are used up first, then `default` answers; `decide`, if set, answers by content instead."""

    def __init__(self, default: Reply) -> None:
        self.default = default
        self.replies: list[Reply] = []
        self.decide: Callable[[Received], Reply] | None = None
        self.received: list[Received] = []
        self.gate = threading.Event()  # cleared: every request is taken, and its answer held back
        self.gate.set()
        self.lock = threading.Lock()
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://{self.address}/vendor"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        received = Received(handler.path, json.loads(raw), dict(handler.headers.items()), time.monotonic())
        with self.lock:
            self.received.append(received)
            reply = self.replies.pop(0) if self.replies else self.default
            if self.decide is not None:
                reply = self.decide(received)
        self.gate.wait(PATIENCE_SECONDS)
        if reply.hang:
            time.sleep(reply.hang)
        if reply.reset:
            reset_connection(handler.connection)
            handler.close_connection = True
            return
        try:
            write(handler, reply)
        except OSError:
            handler.close_connection = True  # the caller gave up

    def bodies(self) -> list[dict[str, Any]]:
        with self.lock:
            return [received.body for received in self.received]

    def reset(self) -> None:
        """As new: nothing received, everything taken."""
        with self.lock:
            self.replies, self.decide, self.received = [], None, []
        self.gate.set()


def write(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    payload = reply.body.encode()
    handler.send_response(reply.status)
    for name, value in ({"Content-Type": "text/plain"} | reply.headers).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(payload)))
    handler.end_headers()
    handler.wfile.write(payload)


def reset_connection(connection: socket.socket) -> None:
    """Close with RST, as a crashing server does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
