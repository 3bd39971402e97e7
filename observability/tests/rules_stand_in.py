"""A stand-in for the Prometheus that rules are published to, over real HTTP: it loads a file when told."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from observability.rules.files import Group, Rule, read_text
from observability.rules.render import FILE
from observability.tests.stand_in import StandIn
from observability.tests.vendors import Reply, write

BROKEN = "broken"  # an expression with this word cannot be parsed, one with FAILING cannot be evaluated
FAILING = "failing"
TYPES = {"alert": "alerting", "record": "recording"}


class RulesStandIn(StandIn):
    """Reads `folder` when it is asked to reload. `asked`: the paths of all requests.

    `before` is called with the path before each answer; `replies` by path are given instead of what it would
    answer, one after another.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.groups: list[Group] = []
        self.others: list[dict[str, Any]] = []  # groups of other files
        self.unevaluated: set[str] = set()
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda path: None
        self.replies: dict[str, list[Reply]] = {}
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode()
        self.asked.append(handler.path)
        self.before(handler.path)
        replies = self.replies.get(handler.path)
        write(handler, replies.pop(0) if replies else self.reply(handler.path, body))

    def reply(self, path: str, body: str) -> Reply:
        match path:
            case "/api/v1/format_query":
                return formatted(parse_qs(body)["query"][0])
            case "/-/reload":
                return self.load()
            case "/api/v1/rules":
                groups = [*map(self.loaded, self.groups), *self.others]
                return Reply(body=json.dumps({"status": "success", "data": {"groups": groups}}))
        return Reply(404)

    def load(self) -> Reply:
        file = self.folder / FILE
        text = file.read_text() if file.exists() else "groups: []"
        if BROKEN in text or "{{ unclosed" in text:
            return Reply(500, "failed to reload config: one or more errors occurred")
        self.groups = read_text(FILE, text)
        return Reply()

    def loaded(self, group: Group) -> dict[str, Any]:
        return {
            "name": group.name,
            "file": f"/etc/prometheus/rules/{FILE}",
            "interval": group.interval_seconds or 15,
            "limit": group.limit or 0,
            "rules": [self.rule(rule) for rule in group.rules],
        }

    def rule(self, rule: Rule) -> dict[str, Any]:
        is_failing = FAILING in rule.expression
        return {
            "type": TYPES[rule.kind],
            "name": rule.name,
            "query": " ".join(rule.expression.split()),
            "duration": rule.for_seconds,
            "keepFiringFor": rule.keep_firing_for_seconds,
            "labels": dict(rule.labels),
            "annotations": dict(rule.annotations),
            "health": "err" if is_failing else "unknown" if rule.name in self.unevaluated else "ok",
            "lastError": "many-to-many matching not allowed" if is_failing else "",
        }


def formatted(expression: str) -> Reply:
    if BROKEN in expression:
        line, column = position(expression)
        error = f'invalid parameter "query": {line}:{column}: parse error: unexpected identifier "{BROKEN}"'
        return Reply(400, json.dumps({"status": "error", "errorType": "bad_data", "error": error}))
    return Reply(body=json.dumps({"status": "success", "data": " ".join(expression.split())}))


def position(expression: str) -> tuple[int, int]:
    before = expression[: expression.index(BROKEN)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")
