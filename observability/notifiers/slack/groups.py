"""Groups many alerts by name. Labels that all share are written once, and each alert only as what
distinguishes it from the others.

HighLatency (3), job=api, by instance, method: 10.0.0.1 GET, 10.0.0.1 POST, 10.0.0.2 GET
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.scrubbing import HIDDEN
from observability.notifiers.base import AlertFacts
from observability.notifiers.slack.blocks import inert

# In the title, or the same for every alert of a group.
LEFT_OUT = frozenset({"alertname", "severity"})
# When one label is enough to distinguish the alerts, the first of these that is.
PREFERRED = ("instance", "pod", "host", "hostname", "node", "device", "service", "endpoint", "queue", "job")
MISSING = "-"
ITEM_LIMIT = 80
FINGERPRINT_LIMIT = 16  # Alertmanager's are 16 hexadecimal digits
# Shorter shared ends ("10.", "api-") stay: they take little room, and whole values are easier to read.
SHORTEST_SHARED_END = 6


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts of one name and state. `items` has one entry per alert, in order; none for a single alert."""

    alertname: str
    status: str
    is_test: bool
    alerts: tuple[AlertFacts, ...]
    shared: Mapping[str, str]
    # Label name → the text left out before and after the differing part of its values ("" and "" for none).
    distinguished_by: Mapping[str, tuple[str, str]]
    items: tuple[str, ...]


def grouped(alerts: Sequence[AlertFacts], *, lean: bool) -> list[Group]:
    """Returns groups in the order of their first alert.

    `lean` leaves out what all values begin or end with.
    """
    together: dict[tuple[str, str, bool], list[AlertFacts]] = {}
    for alert in alerts:
        together.setdefault((alert.alertname, alert.status, alert.is_test), []).append(alert)
    return [_group(key, tuple(members), lean=lean) for key, members in together.items()]


def shared_by_all(alerts: Sequence[AlertFacts]) -> dict[str, str]:
    """Returns the labels that all of `alerts` have with the same value."""
    first, *others = alerts
    shared = {name: value for name, value in first.labels.items() if name not in LEFT_OUT}
    for alert in others:
        if not shared:
            break
        shared = {name: value for name, value in shared.items() if alert.labels.get(name) == value}
    return shared


def _group(key: tuple[str, str, bool], alerts: tuple[AlertFacts, ...], *, lean: bool) -> Group:
    shared = shared_by_all(alerts)
    columns = {
        name: [alert.labels.get(name, MISSING) for alert in alerts]
        for name in _distinguishing_labels(alerts, shared)
    }
    ends = {name: _shared_ends(values) if lean else ("", "") for name, values in columns.items()}
    cut = [[_middle(value, ends[name]) for value in values] for name, values in columns.items()]
    rows = [inert(" ".join(row), ITEM_LIMIT) for row in zip(*cut, strict=True)] or [""] * len(alerts)
    values_of_rows = zip(*columns.values(), strict=True)
    are_identified = [identifies(" ".join(values)) for values in values_of_rows] or [False] * len(alerts)
    items = tuple(_unique_rows(rows, are_identified, alerts)) if len(alerts) > 1 else ()
    return Group(*key, alerts, shared, ends, items)


def _distinguishing_labels(alerts: Sequence[AlertFacts], shared: Mapping[str, str]) -> list[str]:
    """Returns few labels that distinguish the alerts: one if one is enough, else each that still helps."""
    if len(alerts) == 1:
        return []
    names = {name for alert in alerts for name in alert.labels} - shared.keys() - LEFT_OUT
    candidates = sorted(names, key=_preference)
    sufficient = [name for name in candidates if _distinct(alerts, [name]) == len(alerts)]
    return sufficient[:1] or _added_while_useful(alerts, candidates)


def _added_while_useful(alerts: Sequence[AlertFacts], candidates: Sequence[str]) -> list[str]:
    chosen: list[str] = []
    distinct = 1
    for name in candidates:
        with_name = _distinct(alerts, [*chosen, name])
        if with_name > distinct:
            chosen, distinct = [*chosen, name], with_name
        if distinct == len(alerts):
            break
    return chosen


def _distinct(alerts: Sequence[AlertFacts], names: Sequence[str]) -> int:
    """Returns how many different values the labels `names` have together."""
    return len({tuple(alert.labels.get(name) for name in names) for alert in alerts})


def _preference(name: str) -> tuple[int, str]:
    return (PREFERRED.index(name) if name in PREFERRED else len(PREFERRED), name)


def _shared_ends(values: Sequence[str]) -> tuple[str, str]:
    """Returns what all values begin and end with; "" where it is too short to be worth leaving out."""
    least, most = min(values), max(values)
    start = _shared_start(least, most)
    rest = [value[len(start) :][::-1] for value in values]
    end = _shared_start(min(rest), max(rest))[::-1]
    long_enough = [part if len(part) >= SHORTEST_SHARED_END else "" for part in (start, end)]
    return long_enough[0], long_enough[1]


def _shared_start(one: str, other: str) -> str:
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return one[:index]
    return min(one, other, key=len)


def _middle(value: str, ends: tuple[str, str]) -> str:
    return value[len(ends[0]) : len(value) - len(ends[1])]


def _unique_rows(
    rows: Sequence[str], are_identified: Sequence[bool], alerts: Sequence[AlertFacts]
) -> list[str]:
    """Returns the rows; those that are equal, empty or partly hidden get the fingerprint of their alert."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row] = counts.get(row, 0) + 1
    return [
        row if row and is_identified and counts[row] == 1 else f"{row} {fingerprint_of(alert)}".strip()
        for row, is_identified, alert in zip(rows, are_identified, alerts, strict=True)
    ]


def identifies(text: str) -> bool:
    """Whether `text` identifies an alert. An instance that looks like a card number has been hidden."""
    return bool(text) and HIDDEN not in text


def fingerprint_of(alert: AlertFacts) -> str:
    """Returns the alert's fingerprint as it is shown in a digest."""
    return f"#{inert(alert.fingerprint, FINGERPRINT_LIMIT)}"
