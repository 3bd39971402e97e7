"""Decides by plain data, without queries, which route an alert takes at a moment.

The webhook decides about each alert of a payload before its statement is run; everything else that notifies
decides here as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings

from observability.models.episode import Episode
from observability.notifiers import registry


class Mismatch(StrEnum):
    """Why a route does not decide about an alert."""

    IS_OFF = "off"
    SEVERITY = "severity"
    LABELS = "labels"
    HOURS = "hours"
    NO_CHANNEL = "no channel"  # none of its channels is set up


class Matcher(NamedTuple):
    label: str
    is_excluded: bool
    values: frozenset[str]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the condition holds. A label that an alert does not have is empty."""
        return (labels.get(self.label, "") in self.values) is not self.is_excluded


class Hours(NamedTuple):
    """When a route applies, on the clock of its time zone. An end before the beginning is on the next day."""

    weekdays: frozenset[int]  # 1 is Monday; empty: every day
    from_time: time | None
    until_time: time | None
    zone: ZoneInfo

    def contain(self, moment: datetime) -> bool:
        local = moment.astimezone(self.zone)
        clock, today = local.time(), local.isoweekday()
        if self.from_time is None or self.until_time is None:
            return self.is_on(today)
        if self.from_time < self.until_time:
            return self.is_on(today) and self.from_time <= clock < self.until_time
        yesterday = (local.date() - timedelta(days=1)).isoweekday()
        return (self.is_on(today) and clock >= self.from_time) or (
            self.is_on(yesterday) and clock < self.until_time
        )

    def is_on(self, weekday: int) -> bool:
        return not self.weekdays or weekday in self.weekdays


class Compiled(NamedTuple):
    """One route as plain data. Without `channels` it notifies none."""

    id: int
    name: str
    is_on: bool
    severities: frozenset[str]  # empty: any
    matchers: tuple[Matcher, ...]
    hours: Hours
    notifies: bool
    channels: tuple[str, ...]

    def mismatch(self, severity: str, labels: Mapping[str, str], moment: datetime) -> Mismatch | None:
        """Returns why the route does not decide about such an alert; None when it may."""
        if not self.is_on:
            return Mismatch.IS_OFF
        if self.severities and severity not in self.severities:
            return Mismatch.SEVERITY
        if not all(matcher.matches(labels) for matcher in self.matchers):
            return Mismatch.LABELS
        if not self.hours.contain(moment):
            return Mismatch.HOURS
        if self.notifies and not any(map(is_set_up, self.channels)):
            return Mismatch.NO_CHANNEL
        return None


class Decision(NamedTuple):
    """Which channels are notified of an alert, and the id of the route that says so; None: ALERT_ROUTES."""

    route_id: int | None
    channels: tuple[str, ...]

    @property
    def reason_not_to_notify(self) -> str:
        """Returns one of Episode.NotNotified; "" when there are channels."""
        if self.channels:
            return ""
        if self.route_id is not None:
            return Episode.NotNotified.ROUTE_SAYS_NONE.value
        return Episode.NotNotified.SEVERITY_NOT_ROUTED.value


class Routes(NamedTuple):
    """All routes in their order. `version`: the newest change that they have."""

    version: int
    routes: tuple[Compiled, ...]

    def decide(self, severity: str, labels: Mapping[str, str], moment: datetime) -> Decision:
        """Returns what the first route that matches says, else what ALERT_ROUTES says."""
        for route in self.routes:
            if route.mismatch(severity, labels, moment) is None:
                return Decision(route.id, route.channels)
        return Decision(None, settings.ALERT_ROUTES[severity])


def is_set_up(channel: str) -> bool:
    notifier = registry.NOTIFIERS.get(channel)
    return notifier is not None and notifier.is_configured()
