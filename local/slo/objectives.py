"""Reads the objectives of deploy/slo.yml and says what is wrong with them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

KINDS = ("requests", "duration", "time")
REQUIRED = {"name", "title", "bad", "objective", "alerts"}
OPTIONAL = {*KINDS, "minimum_bad", "notified_by"}
FIELDS = {"requests": {"metric", "of", "bad"}, "duration": {"metric", "of", "within"}}
SEVERITIES = ("critical", "error", "warning", "info")
NAME = re.compile(r"[a-z]+(-[a-z]+)*")


class Wrong(Exception):
    """What is wrong with the file, in one line."""


@dataclass(frozen=True)
class Burn:
    """How much faster than allowed the budget may be used, in a long window that a short one confirms."""

    factor: Decimal
    long: str
    short: str


# The pairs of Google's SRE workbook for 30 days: 2% of the budget in an hour, 5% in 6 hours; 10% in a day or
# in three. The short window ends the alert soon after the cause is gone.
BURNS = {
    "fast": (Burn(Decimal("14.4"), "1h", "5m"), Burn(Decimal(6), "6h", "30m")),
    "slow": (Burn(Decimal(3), "1d", "2h"), Burn(Decimal(1), "3d", "6h")),
}
PERIOD = "30d"


@dataclass(frozen=True)
class Objective:
    name: str
    title: str
    bad: str
    allowed: Decimal  # the share of bad events, 0.001 for an objective of 99.9
    kind: str
    source: Any  # a mapping, or PromQL for `time`
    minimum_bad: int = 0
    alerts: Mapping[str, str] = field(default_factory=dict)
    notified_by: str = ""

    @property
    def alert(self) -> str:
        return "Slo" + self.name.title().replace("-", "")

    @property
    def percent(self) -> str:
        return plain(100 - 100 * self.allowed)


def plain(number: Decimal) -> str:
    """Write a number without exponent and trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def read(text: str) -> list[Objective]:
    """Return the objectives of a file, or raise `Wrong`."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Wrong(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or set(content) != {"objectives"} or not content["objectives"]:
        raise Wrong("the file needs one list, `objectives`, with at least one objective")
    found = [objective(entry, number) for number, entry in enumerate(content["objectives"], 1)]
    twice = [name for name, count in Counter(each.name for each in found).items() if count > 1]
    if twice:
        raise Wrong(f"{twice[0]}: two objectives have this name")
    return found


def objective(entry: Any, number: int) -> Objective:
    if not isinstance(entry, dict) or not NAME.fullmatch(str(entry.get("name", ""))):
        raise Wrong(f"objective {number}: `name` has to be words in small letters, joined by hyphens")
    name = entry["name"]
    try:
        return checked(entry)
    except Wrong as error:
        raise Wrong(f"{name}: {error}") from error


def checked(entry: Mapping[str, Any]) -> Objective:
    keys_are("the objective", entry, REQUIRED, OPTIONAL)
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1:
        raise Wrong(f"exactly one of {', '.join(KINDS)} is needed, not {len(kinds)}")
    kind = kinds[0]
    source = entry[kind]
    if kind in FIELDS:
        keys_are(f"`{kind}`", source, FIELDS[kind])
    minimum = entry.get("minimum_bad", 0)
    if (not isinstance(minimum, int) or minimum < 1) != (kind == "time"):
        raise Wrong("`minimum_bad` has to be 1 or more, and is not for `time`")
    found = Objective(
        name=entry["name"],
        title=entry["title"],
        bad=entry["bad"],
        allowed=allowed_of(entry["objective"]),
        kind=kind,
        source=source,
        minimum_bad=minimum,
        alerts=entry["alerts"] or {},
        notified_by=entry.get("notified_by", ""),
    )
    check_alerts(found)
    return found


def allowed_of(value: Any) -> Decimal:
    try:
        percent = Decimal(str(value))
    except InvalidOperation:
        percent = Decimal(0)
    if not 0 < percent < 100:
        raise Wrong(f"`objective` has to be a number of percent between 0 and 100, not {value!r}")
    return (100 - percent) / 100


def check_alerts(found: Objective) -> None:
    keys_are("`alerts`", found.alerts, set(), set(BURNS))
    for speed, severity in found.alerts.items():
        if severity not in SEVERITIES:
            raise Wrong(f"`alerts`: {severity!r} is not one of {', '.join(SEVERITIES)}")
        limit = max(burn.factor for burn in BURNS[speed]) * found.allowed
        if limit >= 1:
            needed = f"it would need {plain(100 * limit)}% to be bad"
            raise Wrong(f"`alerts`: `{speed}` cannot fire, {needed}; leave it out")
    if found.notified_by not in {"", "alertmanager"}:
        raise Wrong("`notified_by` can only be alertmanager")


def keys_are(what: str, entry: Any, required: set[str], optional: set[str] | None = None) -> None:
    if not isinstance(entry, dict):
        raise Wrong(f"{what} has to be a mapping")
    for key in sorted(required - set(entry)):
        raise Wrong(f"{what} lacks `{key}`")
    for key in sorted(set(entry) - required - (optional or set())):
        raise Wrong(f"{what} has an unknown key `{key}`")
