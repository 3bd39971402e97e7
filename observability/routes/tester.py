"""Answers "who would be notified?" for an alert at a moment: which routes match, which channels, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from django.conf import settings

from observability.alerts.delivery import outbox
from observability.models import RouteStep
from observability.notifiers import registry
from observability.routes.deciding import Compiled, Decision, Routes, is_set_up
from observability.routes.wording import WHY_NOT, channel_names, words_of_step

BY_SETTING = "ALERT_ROUTES"


class Verdict(NamedTuple):
    """What one route says of the alert. `why`: why it does not decide; "" when it does."""

    route_id: int | None  # None: the settings
    name: str
    notifies: str
    why: str

    @property
    def decides(self) -> bool:
        return not self.why


class OfChannel(NamedTuple):
    """Whether a channel is notified; `why` says why not, or that it is off."""

    label: str
    is_notified: bool
    why: str


class Answer(NamedTuple):
    verdicts: list[Verdict]
    channels: list[OfChannel]
    escalation: list[str]
    sender_notifies: bool


def who_is_notified(found: Routes, severity: str, labels: Mapping[str, str], moment: datetime) -> Answer:
    """Returns what would be decided about an alert that begins to fire at `moment`."""
    decision = outbox.decide(severity, labels, found, moment)
    sender_notifies = outbox.sender_notifies(labels)
    steps = RouteStep.objects.filter(route=decision.route_id) if decision.route_id is not None else ()
    return Answer(
        verdicts=list(verdicts(found, decision, severity, labels, moment)),
        channels=[of_channel(name, decision, sender_notifies=sender_notifies) for name in registry.NOTIFIERS],
        escalation=[words_of_step(step) for step in steps],
        sender_notifies=sender_notifies,
    )


def verdicts(
    found: Routes, decision: Decision, severity: str, labels: Mapping[str, str], moment: datetime
) -> Iterator[Verdict]:
    """Yields what each route says, in order, and at the end the settings."""
    decided_by = ""
    if outbox.sender_notifies(labels):
        decided_by = "Alertmanager notifies itself"
    for route in found.routes:
        why = why_not(route, decided_by, severity, labels, moment)
        yield Verdict(route.id, route.name, channel_names(route.channels) or "nobody", why)
        if not why:
            decided_by = f"“{route.name}” has decided"
    defaults = settings.ALERT_ROUTES[severity]
    yield Verdict(None, BY_SETTING, channel_names(defaults) or "nobody", decided_by)


def why_not(
    route: Compiled, decided_by: str, severity: str, labels: Mapping[str, str], moment: datetime
) -> str:
    """Returns why the route does not decide; "" when it does."""
    mismatch = route.mismatch(severity, labels, moment)
    if mismatch is not None:
        return WHY_NOT[mismatch]
    return f"it matches, but {decided_by}" if decided_by else ""


def of_channel(name: str, decision: Decision, *, sender_notifies: bool) -> OfChannel:
    label = registry.get(name).label
    if sender_notifies:
        return OfChannel(label, is_notified=False, why="Alertmanager notifies by itself")
    if name not in decision.channels:
        by = "the route" if decision.route_id is not None else BY_SETTING
        return OfChannel(label, is_notified=False, why=f"{by} does not name it")
    if not is_set_up(name):
        return OfChannel(label, is_notified=False, why="it is off: its address or key is not set")
    return OfChannel(label, is_notified=True, why="")
