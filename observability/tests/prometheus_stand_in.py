"""A stand-in for Prometheus's API over real HTTP, with the answers that a test sets."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from observability.tests.stand_in import StandIn
from observability.tests.vendors import Reply, reset_connection, write
from observability.tests.waiting import PATIENCE_SECONDS


def success(data: Any) -> Reply:
    return Reply(body=json.dumps({"status": "success", "data": data}))


def exemplar(trace_id: Any, value: Any, at: float, **labels: Any) -> dict[str, Any]:
    return {"labels": {"trace_id": trace_id, **labels}, "value": value, "timestamp": at}


def series(*exemplars: Any, **labels: Any) -> dict[str, Any]:
    return {"seriesLabels": labels, "exemplars": list(exemplars)}


class PrometheusStandIn(StandIn):
    """`replies` by the last part of the path: `query`, `query_exemplars`. `asked` has the parameters.

    With `authorization` it answers 401 to every other one.
    """

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {
            "query": success({"resultType": "vector", "result": []}),
            "query_exemplars": success([]),
            "targets": success({"activeTargets": []}),
        }
        self.drip_seconds = 0.0
        self.authorization = ""
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        name = parts.path.rpartition("/")[2]
        self.asked.append((name, dict(parse_qsl(parts.query))))
        given = handler.headers.get("Authorization", "")
        reply = self.replies[name] if given == self.authorization else Reply(401, body="Unauthorized")
        try:
            if self.drip_seconds:
                self.drip(handler)
            elif reply.reset:
                reset_connection(handler.connection)
                handler.close_connection = True
            else:
                write(handler, reply)
        except OSError:
            handler.close_connection = True  # the caller gave up

    def drip(self, handler: BaseHTTPRequestHandler) -> None:
        """A byte now and then, so that no read ever times out, until the caller gives up."""
        handler.send_response(200)
        handler.end_headers()
        for _ in range(int(PATIENCE_SECONDS / self.drip_seconds)):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(self.drip_seconds)
