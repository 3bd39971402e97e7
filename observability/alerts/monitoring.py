"""Queries the HTTP APIs of Prometheus and Alertmanager. Each query has a timeout and returns None on failure.

The addresses are settings (PROMETHEUS_URL, ALERTMANAGER_URL). Redirects are not followed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import structlog
from django.conf import settings

from core.outgoing import DeliveryError, send

TIMEOUT_SECONDS = 3.0
MOST_BYTES = 32 * 1024 * 1024  # some ten thousand alerts

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AlertingRule:
    """One alerting rule of Prometheus. `active` has the labels of each of its pending and firing alerts."""

    name: str
    evaluated_at: datetime
    active: tuple[Mapping[str, str], ...]

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether the alert with `labels` is active.

        `labels` come from Alertmanager and may have more: Prometheus adds its external labels.
        """
        return any(active.items() <= labels.items() for active in self.active)


def prometheus_answers() -> bool:
    """Whether Prometheus answers the simplest query. One that is up but cannot evaluate does not count."""
    return bool(settings.PROMETHEUS_URL) and ask_prometheus("api/v1/query?query=1") is not None


def alerting_rules() -> list[AlertingRule] | None:
    """Returns every alerting rule with its active alerts; None when Prometheus does not answer correctly."""
    answer = ask_prometheus("api/v1/rules?type=alert")
    try:
        return None if answer is None else list(read_rules(answer))
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        log.warning("prometheus_rules_parse_failed", error=type(problem).__name__)
        return None


def read_rules(answer: Any) -> Iterator[AlertingRule]:
    """Yields the rules in the body of Prometheus's GET /api/v1/rules (docs: HTTP API, "Rules")."""
    for group in answer["data"]["groups"]:
        for rule in group["rules"]:
            labels = tuple(alert["labels"] for alert in rule.get("alerts") or ())
            yield AlertingRule(rule["name"], datetime.fromisoformat(rule["lastEvaluation"]), labels)


def known_fingerprints() -> set[str] | None:
    """Returns the fingerprints of all alerts in Alertmanager, silenced and inhibited ones included.

    None when it does not answer correctly.
    """
    answer = ask(settings.ALERTMANAGER_URL, "api/v2/alerts")
    try:
        return None if answer is None else {alert["fingerprint"] for alert in answer}
    except (TypeError, KeyError) as problem:
        log.warning("alertmanager_alerts_parse_failed", error=type(problem).__name__)
        return None


def suppressed_fingerprints() -> set[str] | None:
    """Returns the fingerprints of the alerts that Alertmanager silences or inhibits; None as above."""
    answer = ask(settings.ALERTMANAGER_URL, "api/v2/alerts?active=false")
    try:
        if answer is None:
            return None
        return {alert["fingerprint"] for alert in answer if alert["status"]["state"] == "suppressed"}
    except (TypeError, KeyError) as problem:
        log.warning("alertmanager_alerts_parse_failed", error=type(problem).__name__)
        return None


def alertmanager_started_at() -> datetime | None:
    """Returns since when Alertmanager runs: it keeps alerts in memory only. None when it does not answer."""
    answer = ask(settings.ALERTMANAGER_URL, "api/v2/status")
    try:
        return None if answer is None else datetime.fromisoformat(answer["uptime"])
    except (ValueError, TypeError, KeyError) as problem:
        log.warning("alertmanager_status_parse_failed", error=type(problem).__name__)
        return None


def prometheus_headers() -> dict[str, str]:
    """Returns the basic authentication of PROMETHEUS_USER; no header without PROMETHEUS_PASSWORD."""
    if not settings.PROMETHEUS_PASSWORD:
        return {}
    pair = f"{settings.PROMETHEUS_USER}:{settings.PROMETHEUS_PASSWORD}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def ask_prometheus(path: str, seconds: float = TIMEOUT_SECONDS) -> Any:
    """Returns the JSON response to GET `path` of Prometheus; None when there is none within `seconds`."""
    return ask(settings.PROMETHEUS_URL, path, prometheus_headers(), seconds)


def ask(
    base: str,
    path: str,
    headers: Mapping[str, str] = MappingProxyType({}),
    seconds: float = TIMEOUT_SECONDS,
) -> Any:
    """Returns the JSON response to GET `base`/`path`; None when there is none within `seconds`."""
    try:
        answer = send(
            "GET",
            f"{base}/{path}",
            body=b"",
            headers=headers,
            seconds=seconds,
            limit_bytes=MOST_BYTES,
            by_proxy=False,
        )
        if answer.status == HTTPStatus.OK:
            return json.loads(answer.body)
        error = str(answer.status)
    except (DeliveryError, ValueError, RecursionError) as problem:
        error = type(problem).__name__
    log.warning("monitoring_query_failed", path=path.partition("?")[0], error=error)
    return None
