"""Compares any order of payloads of two Alertmanagers, each with its own Prometheus, with a plain model."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import permutations
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from observability.alerts import reopening
from observability.models import Delivery, Episode
from observability.tests.conftest import TOKEN
from observability.tests.payloads import alert, body

SENDERS = st.sampled_from([0, 1])
FINGERPRINT = f"{1:016x}"


@dataclass(frozen=True)
class Snapshot:
    start: datetime
    end: datetime | None = None

    def body(self) -> bytes:
        if self.end is None:
            return body(alert(1, startsAt=self.start.isoformat()))
        return body(alert(1, status="resolved", startsAt=self.start.isoformat(), endsAt=self.end.isoformat()))


@dataclass
class PlainEpisode:
    start: datetime
    latest: datetime
    before: datetime | None
    end: datetime | None
    fired: bool
    round: int = 0
    in_doubt: bool = False

    @property
    def over(self) -> datetime:
        assert self.end is not None
        return max(self.latest, self.end)


@dataclass
class Plain:
    """What must be known of one alert, in the words of the issue's rules."""

    episodes: list[PlainEpisode] = field(default_factory=list)

    def hear(self, said: Snapshot) -> None:
        last = self.episodes[-1] if self.episodes else None
        if last is None or (last.end is not None and said.start > last.over):
            before = last.over if last else None
            if last:
                last.in_doubt = False
            self.episodes.append(
                PlainEpisode(said.start, said.start, before, said.end, fired=said.end is None)
            )
        elif last.end is not None:
            last.in_doubt |= said.end is None
        elif said.end is not None:
            if max(said.start, said.end) >= last.latest:
                last.end = said.end
        elif last.before is None or said.start > last.before:
            last.start, last.latest = min(last.start, said.start), max(last.latest, said.start)

    def ask(self, now: datetime, *, fires: bool) -> None:
        for episode in self.episodes:
            if episode.in_doubt and fires:
                episode.end, episode.latest, episode.fired = None, now, True
                episode.round += 1
            episode.in_doubt = False


class Alert(RuleBasedStateMachine):
    """One alert, seen by two Prometheis. What they say may be held back, doubled and come in any order."""

    def __init__(self) -> None:
        super().__init__()
        Episode.objects.all().delete()
        self.client = Client()
        self.plain = Plain()
        self.since: list[datetime | None] = [None, None]
        self.ended: list[Snapshot | None] = [None, None]
        self.said: list[Snapshot] = []
        self.held: list[Snapshot] = []

    def fires(self) -> bool:
        return any(self.since)

    @rule(sender=SENDERS, hold=st.booleans())
    def begins_or_starts_again(self, sender: int, hold: bool) -> None:
        self.since[sender] = timezone.now()
        self.say(sender, hold)

    @precondition(lambda self: all(self.since))
    @rule(sender=SENDERS, hold=st.booleans())
    def takes_the_start_of_the_other(self, sender: int, hold: bool) -> None:
        self.since[sender] = self.since[1 - sender]
        self.say(sender, hold)

    @precondition(lambda self: self.fires())
    @rule(sender=SENDERS, hold=st.booleans())
    def ends(self, sender: int, hold: bool) -> None:
        start = self.since[sender]
        if start is None:
            return
        self.since[sender] = None
        self.ended[sender] = Snapshot(start, timezone.now())
        self.tell(self.ended[sender], hold)

    def say(self, sender: int, hold: bool) -> None:
        start = self.since[sender]
        if start is not None:
            self.tell(Snapshot(start), hold)

    def tell(self, snapshot: Snapshot | None, hold: bool) -> None:
        assert snapshot is not None
        self.said.append(snapshot)
        if hold:
            self.held.append(snapshot)
        else:
            self.post(snapshot)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def what_was_held_back_comes(self, data: st.DataObject) -> None:
        self.post(self.held.pop(data.draw(st.integers(0, len(self.held) - 1))))

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def an_old_copy_comes(self, data: st.DataObject) -> None:
        self.post(data.draw(st.sampled_from(self.said)))

    @rule()
    def alertmanager_is_asked(self) -> None:
        known = {FINGERPRINT} if self.fires() else set()
        now = timezone.now()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("observability.alerts.monitoring.known_fingerprints", lambda: known)
            reopening.check_refired(now)
        self.plain.ask(now, fires=self.fires())

    def post(self, snapshot: Snapshot) -> None:
        answer = self.client.post(
            "/api/v1/alerts/webhook",
            data=snapshot.body(),
            content_type="application/json",
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        assert answer.status_code == 200
        self.plain.hear(snapshot)

    @invariant()
    def rows_are_those_of_the_model(self) -> None:
        rows = Episode.objects.order_by("pk").values_list(
            "starts_at", "status", "round", "refired_at", "is_latest"
        )
        found = [
            (start, status, number, doubt is not None, last) for start, status, number, doubt, last in rows
        ]
        newest = self.plain.episodes[-1:]
        assert found == [
            (
                episode.start,
                "firing" if episode.end is None else "resolved",
                episode.round,
                episode.in_doubt,
                [episode] == newest,
            )
            for episode in self.plain.episodes
        ]

    @invariant()
    def each_round_is_paged_once_and_resolved_once_when_it_has_ended(self) -> None:
        planned = Delivery.objects.filter(channel="pagerduty").order_by("episode_id", "round", "kind")
        expected: list[tuple[str, int]] = []
        for episode in self.plain.episodes:
            first = 0 if episode.fired else episode.round
            for number in range(episode.round + 1):
                if number >= first and episode.fired:
                    expected.append(("trigger", number))
                if number < episode.round or episode.end is not None:
                    expected.append(("resolve", number))
        assert sorted(planned.values_list("kind", "round")) == sorted(expected)

    def teardown(self) -> None:
        """When all has come and both repeat what they know, what fires is what fires."""
        for snapshot in self.held:
            self.post(snapshot)
        for _ in range(2):
            for sender, start in enumerate(self.since):
                latest = Snapshot(start) if start is not None else self.ended[sender]
                if latest is not None:
                    self.post(latest)
            self.alertmanager_is_asked()
        assert Episode.objects.filter(status="firing").count() == int(self.fires())
        self.rows_are_those_of_the_model()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("channels")
def test_any_order_of_two_alertmanagers_comes_to_what_the_model_says() -> None:
    run_state_machine_as_test(
        Alert,
        settings=settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


STARTS = ("2026-11-23T03:00:00+00:00", "2026-11-23T03:05:00+00:00")


@pytest.mark.django_db
@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_any_order_of_two_starts_and_their_resolves_is_one_episode(
    post_alerts: Any, order: tuple[int, ...]
) -> None:
    """Both starts end at the same time: in the end nothing fires, and one page was planned at most."""
    snapshots = [
        alert(1, startsAt=STARTS[0]),
        alert(1, startsAt=STARTS[1]),
        alert(1, status="resolved", startsAt=STARTS[0]),
        alert(1, status="resolved", startsAt=STARTS[1]),
    ]
    for number in order * 2:
        assert post_alerts(snapshots[number]).status_code == 200
    [episode] = Episode.objects.all()
    assert episode.status == "resolved"
    triggers = Delivery.objects.filter(channel="pagerduty", kind="trigger").count()
    assert triggers == (0 if order[0] >= 2 else 1)
    assert Delivery.objects.filter(channel="pagerduty", kind="resolve").count() == 1
