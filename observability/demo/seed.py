"""Replays the stories by the functions that the webhook, code and operators call, then moves their times.

The database keeps times of events for good; only here, and only in development, they are set afterwards. What
a vendor answered is part of the story, as nothing is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import uuid4

import pgtrigger
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from observability.alerts import episodes, send_alert
from observability.alerts.delivery.outbox import priority_of
from observability.alerts.intake import ingest
from observability.alerts.intake.ingest import Envelope
from observability.alerts.intake.payload import NotAPayload, read_payload
from observability.demo.stories import STORIES, STORM, STORM_BEGAN, State, Story
from observability.models import Attempt, Delivery, Episode, Receipt
from observability.notifiers import registry

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

EVIDENCE = (
    "observability.Episode:episode_identity_is_fixed",
    "observability.EpisodeEvent:timeline_is_append_only",
    "observability.Receipt:receipt_is_evidence",
)
NEVER = "0001-01-01T00:00:00Z"  # what Alertmanager sends as the end of an alert that fires
TRIES_BEFORE_GIVING_UP = 3
ANSWERS = {
    State.DELIVERED: (200, "ok", 143),
    State.FAILED: (400, '{"status":"invalid event","errors":["Invalid routing key"]}', 187),
    State.DEAD: (503, "upstream connect error or disconnect/reset before headers", 10_000),
}
REASONS = {
    State.FAILED: '400 {"status":"invalid event","errors":["Invalid routing key"]}',
    State.DEAD: "Given up: 503 upstream connect error or disconnect/reset before headers",
}


@transaction.atomic
def seed_alerts(operator: AbstractBaseUser) -> None:
    """Make alerts that `operator` has dealt with, or not yet. Raises RuntimeError outside development."""
    if not settings.DEBUG:
        raise RuntimeError("Demo alerts exist in development only.")
    started = timezone.now()
    for story in sorted(STORIES, key=lambda story: story.began, reverse=True):
        replay(story, operator, started)
    replay_storm(started)
    replay_message(started - timedelta(hours=5))
    replay_misunderstanding(started - timedelta(minutes=64))


def replay(story: Story, operator: AbstractBaseUser, started: datetime) -> None:
    fired_at = started - timedelta(minutes=story.began)
    store([story], fired_at, fired_at + timedelta(seconds=2))
    episode = Episode.objects.get(fingerprint=fingerprint_of(story), is_latest=True)
    if story.acknowledged is not None:
        since = timezone.now()
        episodes.acknowledge(episode_id=episode.pk, actor=operator)
        settle([episode], {}, since, started - timedelta(minutes=story.acknowledged))
    for ago, text in story.notes:
        since = timezone.now()
        episodes.add_note(episode_id=episode.pk, actor=operator, text=text)
        settle([episode], {}, since, started - timedelta(minutes=ago))
    if story.lasted is not None:
        resolve([story], fired_at)


def replay_storm(started: datetime) -> None:
    """Many alerts at once, whose first notifications leave in one Slack message."""
    fired_at = started - timedelta(minutes=STORM_BEGAN)
    store(STORM, fired_at, fired_at + timedelta(seconds=2))
    pages = Delivery.objects.filter(episode__in=episodes_of(STORM), channel="slack")
    first = pages.first()
    if first is not None:
        digest = Delivery.objects.create(
            channel="slack",
            kind=Delivery.Kind.DIGEST,
            digest_of=Delivery.Kind.TRIGGER,
            severity=first.severity,
            priority=priority_of(Delivery.Kind.DIGEST, first.severity),
        )
        finish(digest, State.DELIVERED, first.created_at)
        Attempt.objects.filter(delivery__in=pages).delete()  # the digest was tried in their place
        pages.update(digest=digest, attempt_count=0, reason=f"In digest {digest.pk}.")
    resolve(STORM, fired_at)


def replay_message(at: datetime) -> None:
    """A one-off message from code."""
    since = timezone.now()
    text, context = "The payout file of 14:00 is late", {"bank": "Equity", "batch": "2117"}
    settle([send_alert(text, severity="warning", context=context)], {}, since, at)


def replay_misunderstanding(at: datetime) -> None:
    """A body that is no payload, for an operator to look at."""
    body = json.dumps({"version": "3", "receiver": "amani", "alerts": [{"status": "firing", "labels": {}}]})
    envelope = Envelope(body.encode(), "10.0.3.17", uuid4().hex)
    try:
        read_payload(envelope.body)
    except NotAPayload as problem:
        receipt = ingest.store_failed(problem, envelope)
        with pgtrigger.ignore(*EVIDENCE):
            Receipt.objects.filter(pk=receipt.pk).update(received_at=at)


# --- One webhook ---


def resolve(stories: Iterable[Story], fired_at: datetime) -> None:
    stories = list(stories)
    ended_at = fired_at + timedelta(minutes=stories[0].lasted or 0)
    store(stories, fired_at, ended_at + timedelta(seconds=3), ended_at)


def store(
    stories: Iterable[Story], fired_at: datetime, at: datetime, ended_at: datetime | None = None
) -> None:
    """Take in what Alertmanager posts about `stories` as if it came at `at`."""
    stories = list(stories)
    since = timezone.now()
    payload = payload_of(stories, fired_at, ended_at)
    envelope = Envelope(json.dumps(payload).encode(), "10.0.3.9", uuid4().hex)
    stored = ingest.store(read_payload(envelope.body), envelope)
    with pgtrigger.ignore(*EVIDENCE):
        Receipt.objects.filter(pk=stored.receipt_id).update(received_at=at)
    settle(episodes_of(stories), stories[0].outcomes, since, at)


def episodes_of(stories: Iterable[Story]) -> list[Episode]:
    return list(Episode.objects.filter(fingerprint__in=map(fingerprint_of, stories), is_latest=True))


def payload_of(stories: list[Story], fired_at: datetime, ended_at: datetime | None) -> dict[str, object]:
    """Alertmanager's webhook, version 4."""
    status = "resolved" if ended_at else "firing"
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{stories[0].alertname}"}}',
        "status": status,
        "receiver": "amani",
        "alerts": [
            {
                "status": status,
                "labels": labels_of(story),
                "annotations": annotations_of(story),
                "startsAt": fired_at.isoformat(),
                "endsAt": ended_at.isoformat() if ended_at else NEVER,
                "generatorURL": graph_of(story.expression),
                "fingerprint": fingerprint_of(story),
            }
            for story in stories
        ],
    }


def labels_of(story: Story) -> dict[str, str]:
    return {"alertname": story.alertname, "severity": story.severity, **story.labels}


def annotations_of(story: Story) -> dict[str, str]:
    found = {"summary": story.summary, "description": story.description}
    found["runbook_url"] = f"{settings.RUNBOOK_BASE_URL}/{story.alertname}/"
    return {name: text for name, text in found.items() if text}


def graph_of(expression: str) -> str:
    query = urlencode({"g0.expr": expression, "g0.tab": "0"})
    return f"{settings.PROMETHEUS_PUBLIC_URL}/graph?{query}" if expression else ""


def fingerprint_of(story: Story) -> str:
    """Like Alertmanager's: 16 hexadecimal digits that depend on the labels only."""
    return sha256(json.dumps(sorted(labels_of(story).items())).encode()).hexdigest()[:16]


# --- What the vendors answered, and when all of it was ---


def settle(alerts: list[Episode], outcomes: dict[str, State], since: datetime, at: datetime) -> None:
    """Finish the deliveries that were planned, then move to `at` what was written since `since`."""
    waiting = Delivery.objects.filter(episode__in=alerts, state__in=Delivery.UNFINISHED)
    for delivery in waiting.select_related("episode"):
        finish(delivery, state_of(delivery, outcomes), at)
    with pgtrigger.ignore(*EVIDENCE):
        for episode in alerts:
            episode.events.filter(at__gte=since).update(at=at)
        rows = Episode.objects.filter(pk__in=[episode.pk for episode in alerts])
        for name in ("starts_at", "first_seen_at", "resolved_at", "acknowledged_at"):
            rows.filter(**{f"{name}__gte": since}).update(**{name: at})


def state_of(delivery: Delivery, outcomes: dict[str, State]) -> State:
    """An update is not needed where an incident that was never opened would be updated."""
    if delivery.kind == Delivery.Kind.TRIGGER:
        return outcomes.get(delivery.channel, State.DELIVERED)
    if not registry.get(delivery.channel).keeps_incidents:
        return State.DELIVERED
    pages = Delivery.objects.filter(
        episode=delivery.episode_id, channel=delivery.channel, kind=Delivery.Kind.TRIGGER
    )
    is_known = pages.filter(state=State.DELIVERED).exists()
    return State.DELIVERED if is_known else State.SUPERSEDED


def finish(delivery: Delivery, state: State, at: datetime) -> None:
    """End `delivery` in `state`, with its attempts."""
    tries = {State.SUPERSEDED: 0, State.DEAD: TRIES_BEFORE_GIVING_UP}.get(state, 1)
    delivery.state = state
    delivery.created_at = at
    delivery.finished_at = at + (timedelta(hours=6) if state == State.DEAD else timedelta(seconds=1))
    delivery.next_attempt_at = delivery.finished_at
    delivery.attempt_count = tries
    delivery.reason = REASONS.get(state, "")
    if state == State.SUPERSEDED:
        delivery.reason = f"{registry.get(delivery.channel).label} never got the alert."
    delivery.save()
    for number in range(1, tries + 1):
        attempt(delivery, number, at + timedelta(seconds=4 ** (number - 1)), is_last=number == tries)


def attempt(delivery: Delivery, number: int, at: datetime, *, is_last: bool) -> None:
    state = State(delivery.state)
    status, response, milliseconds = ANSWERS[state]
    outcomes = {State.DELIVERED: Attempt.Outcome.DELIVERED, State.FAILED: Attempt.Outcome.REJECTED}
    Attempt.objects.create(
        delivery=delivery,
        number=number,
        at=at,
        duration_ms=milliseconds,
        outcome=outcomes.get(state, Attempt.Outcome.RETRY),
        http_status=status,
        response=response,
        next_attempt_at=None if is_last else at + timedelta(seconds=3 * 4 ** (number - 1)),
    )
