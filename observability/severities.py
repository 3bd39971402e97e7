"""The four severities, and what rules of other people call them.

The tables are compared without regard to case, blanks and punctuation: `P-1`, `p1` and ` P1 ` are one name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SEVERITIES = ("critical", "error", "warning", "info")
# docs/operations.md lists these; a test compares.
ALSO_CALLED = {
    "critical": (
        "crit",
        "fatal",
        "emergency",
        "emerg",
        "disaster",
        "panic",
        "page",
        "p0",
        "p1",
        "sev0",
        "sev1",
    ),
    "error": ("err", "major", "high", "p2", "sev2"),
    "warning": ("warn", "minor", "moderate", "medium", "average", "p3", "sev3"),
    "info": (
        "information",
        "informational",
        "notice",
        "debug",
        "low",
        "none",
        "ok",
        "p4",
        "p5",
        "sev4",
        "sev5",
    ),
}
MEANINGS = {name: severity for severity, names in ALSO_CALLED.items() for name in (severity, *names)}
# An alert without the label is sent where warnings go, which wakes nobody: its rule left the question open.
WHEN_NOT_GIVEN = "warning"
# Whatever an unknown name means, its rule meant to say something: neither lost among the rest nor a page.
WHEN_UNKNOWN = "error"


class Reading(NamedTuple):
    """One of SEVERITIES, and whether it stands in for a name that no table knows."""

    severity: str
    is_unknown: bool


THE_FOUR = {name: Reading(name, is_unknown=False) for name in SEVERITIES}


def read(given: str, also_called: Mapping[str, str] | None = None) -> Reading:
    """Reads the severity label of an alert, "" when it has none.

    `also_called` maps further names, as `plain` spells them, to severities; it goes before ALSO_CALLED.
    """
    if given in THE_FOUR:
        return THE_FOUR[given]
    if not given.strip():
        return Reading(WHEN_NOT_GIVEN, is_unknown=False)
    name = plain(given)
    severity = (also_called or {}).get(name) or MEANINGS.get(name)
    return Reading(severity or WHEN_UNKNOWN, is_unknown=severity is None)


def plain(name: str) -> str:
    """`name` as the tables spell it: letters and digits only, without case."""
    return "".join(filter(str.isalnum, name)).casefold()
