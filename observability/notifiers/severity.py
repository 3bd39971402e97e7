"""How severities are shown. Only the four of `observability.severities` are passed on to a vendor."""

from __future__ import annotations

from observability import severities
from observability.notifiers.base import AlertFacts
from observability.severities import SEVERITIES

EMOJI = {"critical": "🔴", "error": "🟠", "warning": "🟡", "info": "🔵"}


def known_severity(severity: str) -> str:
    """One of SEVERITIES; an unknown or empty one is an error, so that it is neither lost nor a false page."""
    return severities.read(severity).severity if severity.strip() else severities.WHEN_UNKNOWN


def unknown_severity(alert: AlertFacts) -> str:
    """What the label of an alert says that no table knows, as hostile as any label; "" when it is known."""
    return alert.labels.get("severity", "") or "(empty)" if alert.severity_is_unknown else ""


def worst(given: list[str]) -> str:
    return min(map(known_severity, given), key=SEVERITIES.index, default="info")
