"""Asks Prometheus for its loaded rules and for values. Answers are kept for some seconds: in a storm, many
alerts of one rule end at the same time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import structlog
from django.conf import settings

from core.outgoing import Deadline
from observability.alerts.monitoring import ask_prometheus

KEPT_SECONDS = 10.0
MOST_KEPT = 32

log = structlog.get_logger(__name__)


class NoAnswer(Exception):
    """Prometheus gave no usable answer in time."""


class LoadedRule(NamedTuple):
    """An alerting rule as Prometheus has loaded it."""

    name: str
    expression: str
    labels: Mapping[str, str]
    is_healthy: bool

    def makes(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with `labels` may come from this rule: all its labels without a template agree."""
        fixed = {name: value for name, value in self.labels.items() if "{{" not in value}
        return fixed.items() <= labels.items()


class Element(NamedTuple):
    """One series of an answer, with its value at the time that was asked for."""

    labels: Mapping[str, str]
    value: float

    def belongs_to(self, labels: Mapping[str, str], replaced: Mapping[str, str]) -> bool:
        """Whether an alert with `labels` is about this series.

        `replaced`: labels that the rule sets, whatever the series has. A label that the alert lacks was
        dropped on the way to Alertmanager.
        """
        return all(
            labels[name] == value
            for name, value in self.labels.items()
            if name != "__name__" and name in labels and name not in replaced
        )


class Kept:
    """Answers by what was asked, the newest MOST_KEPT of the last KEPT_SECONDS."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[float, float, Any]] = {}

    def ask(self, path: str, deadline: Deadline, not_before: float = 0.0) -> Any:
        """Returns the answer to GET `path`. Raises NoAnswer.

        `not_before`: Unix time; an answer that is kept from before it is not used.
        """
        key = f"{settings.PROMETHEUS_URL}/{path}"
        known = self.answers.get(key)
        if known and known[0] > time.monotonic() - KEPT_SECONDS and known[1] > not_before:
            return known[2]
        if deadline.passed:
            raise NoAnswer
        asked = (time.monotonic(), time.time())
        answer = ask_prometheus(path, seconds=deadline.remaining())
        if answer is None:
            raise NoAnswer
        self.answers.pop(key, None)
        while len(self.answers) >= MOST_KEPT:
            del self.answers[next(iter(self.answers))]
        self.answers[key] = (*asked, answer)
        return answer


kept = Kept()


def loaded_rules(deadline: Deadline, ended_at: datetime) -> list[LoadedRule]:
    """Returns the alerting rules that Prometheus has loaded, as they were after `ended_at`.

    Raises NoAnswer.
    """
    path = "api/v1/rules?type=alert&exclude_alerts=true"
    answer = kept.ask(path, deadline, not_before=ended_at.timestamp())
    try:
        return [
            LoadedRule(
                rule["name"], rule["query"], rule.get("labels") or {}, rule.get("health", "ok") != "err"
            )
            for group in answer["data"]["groups"]
            for rule in group["rules"]
        ]
    except (TypeError, KeyError, AttributeError) as problem:
        log.warning("prometheus_rules_parse_failed", error=type(problem).__name__)
        raise NoAnswer from None


def values(series: str, at: datetime, deadline: Deadline) -> list[Element]:
    """Returns the value of each series of the expression at that time. Raises NoAnswer."""
    query = urlencode({"query": series, "time": f"{at.timestamp():.3f}"})
    answer = kept.ask(f"api/v1/query?{query}", deadline)
    try:
        data = answer["data"]
        if data["resultType"] == "scalar":
            return [Element({}, float(data["result"][1]))]
        return [Element(found["metric"], float(found["value"][1])) for found in data["result"]]
    except (TypeError, KeyError, ValueError, IndexError) as problem:
        log.warning("prometheus_values_parse_failed", error=type(problem).__name__)
        raise NoAnswer from None


def is_number(value: float) -> bool:
    return not math.isnan(value)
