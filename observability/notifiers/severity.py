"""The four severities: nothing else is passed on to a vendor."""

from __future__ import annotations

SEVERITIES = ("critical", "error", "warning", "info")
EMOJI = {"critical": "🔴", "error": "🟠", "warning": "🟡", "info": "🔵"}
# What rules in the wild call them.
ALSO_CALLED = {
    "page": "critical",
    "fatal": "critical",
    "emergency": "critical",
    "major": "error",
    "minor": "warning",
}


def known_severity(severity: str) -> str:
    """One of SEVERITIES; an unheard-of one is an error, so that it is neither lost nor a false page."""
    name = severity.strip().lower()
    name = ALSO_CALLED.get(name, name)
    return name if name in SEVERITIES else "error"


def worst(severities: list[str]) -> str:
    return min(map(known_severity, severities), key=SEVERITIES.index, default="info")
