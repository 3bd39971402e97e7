"""What a route says, as plain data: from a form, or from its rows."""

from __future__ import annotations

from datetime import time
from typing import NamedTuple


class Condition(NamedTuple):
    """A condition on a label. `is_excluded`: the label must have none of the values."""

    label: str
    is_excluded: bool
    values: tuple[str, ...]


class Step(NamedTuple):
    """Which channels are notified when no operator has acknowledged an alert after so many minutes."""

    after_minutes: int
    channels: tuple[str, ...]


class Terms(NamedTuple):
    """What a route says. Empty severities, weekdays, conditions and times: any."""

    name: str
    channels: tuple[str, ...] = ()
    notifies: bool = True
    is_on: bool = True
    severities: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    weekdays: tuple[int, ...] = ()
    from_time: time | None = None
    until_time: time | None = None
    time_zone: str = "UTC"
    steps: tuple[Step, ...] = ()
