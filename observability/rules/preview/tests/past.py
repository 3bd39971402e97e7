"""A Prometheus over real HTTP that knows the past of some expressions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from observability.tests.prometheus_stand_in import PrometheusStandIn, success
from observability.tests.vendors import Reply

MOST_POINTS = 11_000  # for each series; Prometheus refuses more
Value = Callable[[float], float | None]  # of a moment, seconds since 1970; None: there is no sample


class Past(PrometheusStandIn):
    """`series`: of an expression, (labels, its value at a moment). An unknown expression has none."""

    def __init__(self) -> None:
        self.series: dict[str, list[tuple[Mapping[str, str], Value]]] = {}
        self.refuses: Reply | None = None  # what answers every range, if a test sets it
        super().__init__()
        self.replies["rules"] = success({"groups": []})
        self.replies["runtimeinfo"] = success({"startTime": "2026-01-01T00:00:00Z"})

    @property
    def ranges(self) -> list[Mapping[str, str]]:
        return [parameters for name, parameters in self.asked if name == "query_range"]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        if parts.path.endswith("/query_range"):
            self.replies["query_range"] = self.refuses or self.range_of(dict(parse_qsl(parts.query)))
        super().answer(handler)

    def range_of(self, asked: Mapping[str, str]) -> Reply:
        start, end, step = (float(asked[name]) for name in ("start", "end", "step"))
        if (end - start) / step > MOST_POINTS:
            return refused("exceeded maximum resolution of 11,000 points per timeseries.")
        moments = [start + number * step for number in range(int((end - start) / step + 1.001))]
        found = []
        for labels, value_at in self.series.get(asked["query"], []):
            values = [[at, f"{value}"] for at in moments if (value := value_at(at)) is not None]
            if values:
                found.append({"metric": labels, "values": values})
        return success({"resultType": "matrix", "result": found})


def refused(reason: str, status: int = 400) -> Reply:
    body: dict[str, Any] = {"status": "error", "errorType": "bad_data", "error": reason}
    return Reply(status, body=json.dumps(body))
