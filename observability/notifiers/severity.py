"""Prepares severities for messages. A vendor is sent only the four of `observability.severities`."""

from __future__ import annotations

from observability import severities
from observability.notifiers.base import AlertFacts
from observability.severities import SEVERITIES

EMOJI = {"critical": "🔴", "error": "🟠", "warning": "🟡", "info": "🔵"}


def known_severity(severity: str) -> str:
    """Returns one of SEVERITIES.

    An unknown or empty severity becomes `error`: it is sent, but not as a page.
    """
    return severities.read(severity).severity if severity.strip() else severities.WHEN_UNKNOWN


def unknown_severity(alert: AlertFacts) -> str:
    """Returns the unknown value of the label `severity`; "" when it is known. The text is not trusted."""
    return alert.labels.get("severity", "") or "(empty)" if alert.severity_is_unknown else ""


def worst(given: list[str]) -> str:
    """Returns the most severe of `given`; `info` when there is none."""
    return min(map(known_severity, given), key=SEVERITIES.index, default="info")
