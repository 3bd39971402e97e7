"""The two APIs that Amani asks about its alerts, Prometheus's and Alertmanager's, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from observability.tests.stand_in import StandIn
from observability.tests.vendors import Reply, write

NEVER = datetime(1, 1, 1, tzinfo=UTC)


class MonitoringStandIn(StandIn):
    """`fingerprints`: what Alertmanager holds; `suppressed`: which of them it silences or inhibits.
    `rules`: name → (last evaluation, labels of active alerts).

    `loaded`: name → what else Prometheus says about the rule. `values`: query → [(labels, value)];
    `unanswered`: queries that get a 503.
    """

    def __init__(self) -> None:
        self.fingerprints: list[str] = []
        self.suppressed: list[str] = []
        self.started_at = datetime.now(UTC) - timedelta(hours=1)
        self.rules: dict[str, tuple[datetime, list[Mapping[str, str]]]] = {}
        self.loaded: dict[str, dict[str, Any]] = {}
        self.values: dict[str, Sequence[tuple[Mapping[str, str], str]]] = {}
        self.unanswered: set[str] = set()
        self.asked: list[str] = []
        self.prometheus_answers = True
        self.alertmanager_answers = True
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = urlsplit(handler.path).path
        self.asked.append(handler.path)
        answers = self.alertmanager_answers if path.startswith("/api/v2/") else self.prometheus_answers
        query = dict(parse_qsl(urlsplit(handler.path).query)).get("query", "")
        answers = answers and query not in self.unanswered
        document = self.vector(query) if query in self.values else self.documents()[path]
        write(handler, Reply(body=json.dumps(document)) if answers else Reply(503))

    def vector(self, query: str) -> dict[str, Any]:
        result = [{"metric": labels, "value": [0, value]} for labels, value in self.values[query]]
        return {"status": "success", "data": {"resultType": "vector", "result": result}}

    def documents(self) -> dict[str, Any]:
        rules = [
            {
                "name": name,
                "query": "up",
                **self.loaded.get(name, {}),
                "lastEvaluation": evaluated_at.isoformat(),
                "alerts": [{"labels": labels, "state": "firing"} for labels in active],
            }
            for name, (evaluated_at, active) in self.rules.items()
        ]
        return {
            "/api/v1/query": {"status": "success", "data": {"result": [0, "1"]}},
            "/api/v1/rules": {"status": "success", "data": {"groups": [{"rules": rules}]}},
            "/api/v2/alerts": [
                {
                    "fingerprint": each,
                    "status": {"state": "suppressed" if each in self.suppressed else "active"},
                }
                for each in self.fingerprints
            ],
            "/api/v2/status": {"uptime": self.started_at.isoformat()},
        }
