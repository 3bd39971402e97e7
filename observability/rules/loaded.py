"""Asks Prometheus whether it has loaded a rule as it is here, and how it fares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import structlog

from observability.alerts.monitoring import ask_prometheus
from observability.models import AlertRule
from observability.models.rules import SCOPE

TYPES = {AlertRule.Kind.ALERT: "alert", AlertRule.Kind.RECORD: "record"}  # of Prometheus's GET /api/v1/rules

log = structlog.get_logger(__name__)


class Difference(NamedTuple):
    what: str
    here: str
    there: str


class Loaded(NamedTuple):
    """What Prometheus has under this name and these labels. Without `is_loaded` it has nothing."""

    is_loaded: bool
    differences: tuple[Difference, ...] = ()
    is_healthy: bool = False
    error: str = ""
    evaluated_at: datetime | None = None
    active: int = 0


def ask_about(rule: AlertRule) -> Loaded | None:
    """Returns what Prometheus has loaded; None when it does not answer correctly."""
    answer = ask_prometheus(f"api/v1/rules?type={TYPES[AlertRule.Kind(rule.kind)]}")
    try:
        if answer is None:
            return None
        found = [there for there in rules_in(answer, rule.group.name) if is_the_same(there, rule)]
        if not found:
            return Loaded(is_loaded=False)
        # Of two rules of one name and scope, the one that agrees most.
        return min((read(there, rule) for there in found), key=lambda loaded: len(loaded.differences))
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        log.warning("prometheus_rules_parse_failed", error=type(problem).__name__)
        return None


def rules_in(answer: Any, group: str) -> Iterator[Mapping[str, Any]]:
    for found in answer["data"]["groups"]:
        if found["name"] == group:
            yield from found["rules"]


def is_the_same(there: Mapping[str, Any], rule: AlertRule) -> bool:
    """Returns whether it is the rule, perhaps with other labels. Another scope is another rule."""
    labels = there.get("labels") or {}
    return bool(there["name"] == rule.name and labels.get(SCOPE, "") == rule.scope)


def read(there: Mapping[str, Any], rule: AlertRule) -> Loaded:
    return Loaded(
        is_loaded=True,
        differences=tuple(differences(there, rule)),
        is_healthy=there["health"] == "ok",
        error=there.get("lastError") or "",
        evaluated_at=datetime.fromisoformat(there["lastEvaluation"]),
        active=len(there.get("alerts") or ()),
    )


def differences(there: Mapping[str, Any], rule: AlertRule) -> Iterator[Difference]:
    """Yields what changes when the rule fires, or how. The texts of annotations do not."""
    if not is_one_expression(there["query"], rule.expression):
        yield Difference("expression", rule.expression, there["query"])
    for what, here, other in (
        ("for", rule.for_seconds, there.get("duration", 0)),
        ("keep firing for", rule.keep_firing_for_seconds, there.get("keepFiringFor", 0)),
    ):
        if float(here) != float(other):
            yield Difference(what, f"{here:g} s", f"{other:g} s")
    labels = there.get("labels") or {}
    for name in sorted(labels.keys() | rule.labels.keys()):
        if labels.get(name) != rule.labels.get(name):
            yield Difference(f"label {name}", rule.labels.get(name, "—"), labels.get(name, "—"))


def is_one_expression(first: str, second: str) -> bool:
    """Returns whether Prometheus writes both in the same way. Raises ValueError if it does not say."""
    return first == second or formatted(first) == formatted(second)


def formatted(expression: str) -> str:
    answer = ask_prometheus(f"api/v1/format_query?query={quote(expression, safe='')}")
    if answer is None:
        raise ValueError("Prometheus did not format the expression.")
    return str(answer["data"])
