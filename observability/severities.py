"""Maps the severities of an alert's label, in any usual spelling, to the four of Amani.

Names are compared without case, blanks and punctuation: `P-1`, `p1` and ` P1 ` are one name.
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
# An alert without the label is handled like a warning, which is no page.
WHEN_NOT_GIVEN = "warning"
# An unknown name may mean anything: it must neither be overlooked nor cause a page.
WHEN_UNKNOWN = "error"


class Reading(NamedTuple):
    """One of SEVERITIES, and whether it replaces an unknown name."""

    severity: str
    is_unknown: bool


THE_FOUR = {name: Reading(name, is_unknown=False) for name in SEVERITIES}


def read(given: str, also_called: Mapping[str, str] | None = None) -> Reading:
    """Reads the severity label of an alert, "" when it has none.

    `also_called` maps further names, in the form of `plain`, to severities. It takes precedence over
    ALSO_CALLED.
    """
    if given in THE_FOUR:
        return THE_FOUR[given]
    if not given.strip():
        return Reading(WHEN_NOT_GIVEN, is_unknown=False)
    name = plain(given)
    severity = (also_called or {}).get(name) or MEANINGS.get(name)
    return Reading(severity or WHEN_UNKNOWN, is_unknown=severity is None)


def plain(name: str) -> str:
    """Returns `name` as the tables have it: only letters and digits, in lower case."""
    return "".join(filter(str.isalnum, name)).casefold()
