"""Asks Prometheus and Alertmanager what they know. Every question is bounded; no answer is `None`, no error.

Both are addressed by settings (PROMETHEUS_URL, ALERTMANAGER_URL) and never follow a redirect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
import structlog
from django.conf import settings

from core.request_id import request_id_header

ANSWER_WITHIN_SECONDS = 3.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AlertingRule:
    """One alerting rule of Prometheus: its name, when it was evaluated last, and what is pending or fires."""

    name: str
    evaluated_at: datetime
    active: tuple[Mapping[str, str], ...]  # labels

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether the alert with `labels` is active. Alertmanager's labels may have more: external labels."""
        return any(active.items() <= labels.items() for active in self.active)


def prometheus_answers() -> bool:
    """Asks for the simplest query, so that a Prometheus that is up but cannot evaluate does not count."""
    return bool(settings.PROMETHEUS_URL) and ask(settings.PROMETHEUS_URL, "api/v1/query?query=1") is not None


def alerting_rules() -> list[AlertingRule] | None:
    """Reads every alerting rule with its active alerts; None when Prometheus does not answer as it should."""
    answer = ask(settings.PROMETHEUS_URL, "api/v1/rules?type=alert")
    try:
        return None if answer is None else list(read_rules(answer))
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        log.warning("prometheus_rules_not_understood", error=type(problem).__name__)
        return None


def read_rules(answer: Any) -> Iterator[AlertingRule]:
    """Reads the body of Prometheus's GET /api/v1/rules (docs: HTTP API, "Rules")."""
    for group in answer["data"]["groups"]:
        for rule in group["rules"]:
            labels = tuple(alert["labels"] for alert in rule.get("alerts") or ())
            yield AlertingRule(rule["name"], datetime.fromisoformat(rule["lastEvaluation"]), labels)


def known_fingerprints() -> set[str] | None:
    """Reads the fingerprints of all alerts that Alertmanager holds, silenced and inhibited ones included.

    None when it does not answer as it should.
    """
    answer = ask(settings.ALERTMANAGER_URL, "api/v2/alerts")
    try:
        return None if answer is None else {alert["fingerprint"] for alert in answer}
    except (TypeError, KeyError) as problem:
        log.warning("alertmanager_alerts_not_understood", error=type(problem).__name__)
        return None


def alertmanager_started_at() -> datetime | None:
    """Reads since when Alertmanager runs: it keeps alerts in memory only. None when it does not answer."""
    answer = ask(settings.ALERTMANAGER_URL, "api/v2/status")
    try:
        return None if answer is None else datetime.fromisoformat(answer["uptime"])
    except (ValueError, TypeError, KeyError) as problem:
        log.warning("alertmanager_status_not_understood", error=type(problem).__name__)
        return None


def ask(base: str, path: str) -> Any:
    """Returns the JSON answer of GET `base`/`path`, or None when there is none in time."""
    try:
        response = requests.get(
            f"{base}/{path}",
            headers=request_id_header(),
            timeout=ANSWER_WITHIN_SECONDS,
            allow_redirects=False,
        )
        response.raise_for_status()
        return response.json()
    except (requests.RequestException, ValueError) as problem:
        log.warning("monitoring_not_asked", path=path.partition("?")[0], error=type(problem).__name__)
        return None
