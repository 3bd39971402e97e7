"""Alertmanager's API of silences and alerts over real HTTP, as silence.go of 0.25 decides."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from observability.tests.stand_in import StandIn
from observability.tests.vendors import Reply, reset_connection, write

ENDLESS = "2100-01-01T00:00:00.000Z"


class FakeAlertmanager(StandIn):
    """`silences` by id. `answers`: False for 503. `cut_after_post`: it stores, but its answer never arrives.

    `refuses`: what it answers 400 with. `filters`: those of the last question about alerts.
    """

    def __init__(self) -> None:
        self.silences: dict[str, dict[str, Any]] = {}
        self.alerts: list[dict[str, Any]] = []
        self.answers = True
        self.cut_after_post = False
        self.refuses = ""
        self.filters: list[str] = []
        self.started_at = "2026-01-01T00:00:00.000Z"
        self.requests: list[str] = []
        self.lock = threading.Lock()
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        path = urlsplit(handler.path)
        with self.lock:
            self.requests.append(f"{handler.command} {path.path}")
            reply = self.reply(handler.command, path.path, path.query, raw) if self.answers else Reply(503)
        if self.cut_after_post and handler.command == "POST":
            reset_connection(handler.connection)
            handler.close_connection = True
            return
        write(handler, reply)

    def reply(self, method: str, path: str, query: str, raw: bytes) -> Reply:
        match method, path:
            case "GET", "/api/v2/silences":
                return Reply(body=json.dumps([self.shown(each) for each in self.silences.values()]))
            case "POST", "/api/v2/silences":
                return self.post(json.loads(raw))
            case "GET", "/api/v2/alerts":
                self.filters = parse_qs(query).get("filter", [])
                return Reply(400, self.refuses) if self.refuses else Reply(body=json.dumps(self.alerts))
            case "GET", "/api/v2/status":
                return Reply(body=json.dumps({"uptime": self.started_at}))
        silence = self.silences.get(path.rpartition("/")[2])
        if method != "DELETE" or silence is None:
            return Reply(404)
        if state_of(silence) == "expired":
            return Reply(500, "already expired")
        silence["endsAt"] = stamp()
        return Reply()

    def post(self, wanted: dict[str, Any]) -> Reply:
        if self.refuses:
            return Reply(400, self.refuses)
        known = self.silences.get(wanted.get("id", ""))
        if wanted.get("id") and known is None:
            return Reply(404)
        same = known is not None and all(known[name] == wanted[name] for name in ("matchers", "startsAt"))
        if known is not None and same and state_of(known) != "expired":
            known.update(endsAt=wanted["endsAt"], comment=wanted["comment"])
            return Reply(body=json.dumps({"silenceID": known["id"]}))
        if known is not None and state_of(known) != "expired":
            known["endsAt"] = stamp()
        return Reply(body=json.dumps({"silenceID": self.add(**wanted)}))

    def add(self, **changes: Any) -> str:
        """Creates a silence, as amtool would; returns its id."""
        silence = {
            "matchers": [{"name": "alertname", "value": "DiskFull", "isRegex": False, "isEqual": True}],
            "startsAt": stamp(),
            "endsAt": ENDLESS,
            "createdBy": "amtool",
            "comment": "by hand",
        } | changes
        if moment(silence["startsAt"]) < datetime.now(UTC):
            silence["startsAt"] = stamp()
        silence["id"] = str(uuid.uuid4())
        self.silences[silence["id"]] = silence
        return str(silence["id"])

    def alert(self, labels: dict[str, str], *silenced_by: str, fingerprint: str) -> dict[str, Any]:
        """Holds a firing alert."""
        alert = {
            "labels": labels,
            "annotations": {"summary": f"{labels['alertname']} fires"},
            "startsAt": stamp(),
            "endsAt": ENDLESS,
            "generatorURL": "http://localhost:9090/graph",
            "fingerprint": fingerprint,
            "status": {
                "state": "suppressed" if silenced_by else "active",
                "silencedBy": list(silenced_by),
                "inhibitedBy": [],
            },
        }
        self.alerts.append(alert)
        return alert

    def shown(self, silence: dict[str, Any]) -> dict[str, Any]:
        return {**silence, "status": {"state": state_of(silence)}, "updatedAt": stamp()}

    def alive(self) -> list[dict[str, Any]]:
        return [each for each in self.silences.values() if state_of(each) != "expired"]


def state_of(silence: dict[str, Any]) -> str:
    now = datetime.now(UTC)
    if moment(silence["endsAt"]) <= now:
        return "expired"
    return "pending" if moment(silence["startsAt"]) > now else "active"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def stamp() -> str:
    return datetime.now(UTC).isoformat()
