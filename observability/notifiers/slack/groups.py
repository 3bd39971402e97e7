"""Many alerts said shortly: by name, what they share once, and of each only what tells it from the others.

HighLatency (3), job=api, by instance, method: 10.0.0.1 GET, 10.0.0.1 POST, 10.0.0.2 GET
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.scrubbing import HIDDEN
from observability.notifiers.base import AlertFacts
from observability.notifiers.slack.blocks import inert

# Said in the title, or the same for every alert of a group.
NEVER_SAID = frozenset({"alertname", "severity"})
# When one label is enough to tell alerts apart, the one that a responder would choose.
PREFERRED = ("instance", "pod", "host", "hostname", "node", "device", "service", "endpoint", "queue", "job")
MISSING = "-"
ITEM_LIMIT = 80
FINGERPRINT_LIMIT = 16  # Alertmanager's are 16 hexadecimal digits
# Shorter shared ends ("10.", "api-") are left where they are: they cost little and are easier to read whole.
SHORTEST_SHARED_END = 6


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts of one name and state. `items` has one entry per alert, in order; none for a single alert."""

    alertname: str
    status: str
    is_test: bool
    alerts: tuple[AlertFacts, ...]
    shared: Mapping[str, str]
    # Label name → what stands around the differing part of its values ("" and "" for nothing).
    told_by: Mapping[str, tuple[str, str]]
    items: tuple[str, ...]


def grouped(alerts: Sequence[AlertFacts], *, lean: bool) -> list[Group]:
    """Groups in order of their first alert. `lean` leaves out what all values begin or end with."""
    together: dict[tuple[str, str, bool], list[AlertFacts]] = {}
    for alert in alerts:
        together.setdefault((alert.alertname, alert.status, alert.is_test), []).append(alert)
    return [_group(key, tuple(members), lean=lean) for key, members in together.items()]


def shared_by_all(alerts: Sequence[AlertFacts]) -> dict[str, str]:
    """The labels that every one of `alerts` has with the same value."""
    first, *others = alerts
    shared = {name: value for name, value in first.labels.items() if name not in NEVER_SAID}
    for alert in others:
        if not shared:
            break
        shared = {name: value for name, value in shared.items() if alert.labels.get(name) == value}
    return shared


def _group(key: tuple[str, str, bool], alerts: tuple[AlertFacts, ...], *, lean: bool) -> Group:
    shared = shared_by_all(alerts)
    columns = {
        name: [alert.labels.get(name, MISSING) for alert in alerts] for name in _telling_names(alerts, shared)
    }
    told_by = {name: _shared_ends(values) if lean else ("", "") for name, values in columns.items()}
    cut = [[_middle(value, told_by[name]) for value in values] for name, values in columns.items()]
    rows = [inert(" ".join(row), ITEM_LIMIT) for row in zip(*cut, strict=True)] or [""] * len(alerts)
    tell = [tells(" ".join(values)) for values in zip(*columns.values(), strict=True)] or [False] * len(
        alerts
    )
    items = tuple(_unlike(rows, tell, alerts)) if len(alerts) > 1 else ()
    return Group(*key, alerts, shared, told_by, items)


def _telling_names(alerts: Sequence[AlertFacts], shared: Mapping[str, str]) -> list[str]:
    """The fewest labels that tell the alerts apart: one if one does, else as long as they help."""
    if len(alerts) == 1:
        return []
    names = {name for alert in alerts for name in alert.labels} - shared.keys() - NEVER_SAID
    candidates = sorted(names, key=_preference)
    alone = [name for name in candidates if _kinds(alerts, [name]) == len(alerts)]
    return alone[:1] or _added_while_useful(alerts, candidates)


def _added_while_useful(alerts: Sequence[AlertFacts], candidates: Sequence[str]) -> list[str]:
    chosen: list[str] = []
    told_apart = 1
    for name in candidates:
        now = _kinds(alerts, [*chosen, name])
        if now > told_apart:
            chosen, told_apart = [*chosen, name], now
        if told_apart == len(alerts):
            break
    return chosen


def _kinds(alerts: Sequence[AlertFacts], names: Sequence[str]) -> int:
    return len({tuple(alert.labels.get(name) for name in names) for alert in alerts})


def _preference(name: str) -> tuple[int, str]:
    return (PREFERRED.index(name) if name in PREFERRED else len(PREFERRED), name)


def _shared_ends(values: Sequence[str]) -> tuple[str, str]:
    """What all values begin and end with, when leaving it out is worth it."""
    least, most = min(values), max(values)
    start = _shared_start(least, most)
    rest = [value[len(start) :][::-1] for value in values]
    end = _shared_start(min(rest), max(rest))[::-1]
    worth = [part if len(part) >= SHORTEST_SHARED_END else "" for part in (start, end)]
    return worth[0], worth[1]


def _shared_start(one: str, other: str) -> str:
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return one[:index]
    return min(one, other, key=len)


def _middle(value: str, ends: tuple[str, str]) -> str:
    return value[len(ends[0]) : len(value) - len(ends[1])]


def _unlike(rows: Sequence[str], tell: Sequence[bool], alerts: Sequence[AlertFacts]) -> list[str]:
    """Rows that are alike, empty or partly hidden get the fingerprint, so that every alert is named."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row] = counts.get(row, 0) + 1
    return [
        row if row and told and counts[row] == 1 else f"{row} {fingerprint_of(alert)}".strip()
        for row, told, alert in zip(rows, tell, alerts, strict=True)
    ]


def tells(text: str) -> bool:
    """Whether `text` says which alert it is: an instance may look like a card's number and be hidden."""
    return bool(text) and HIDDEN not in text


def fingerprint_of(alert: AlertFacts) -> str:
    return f"#{inert(alert.fingerprint, FINGERPRINT_LIMIT)}"
