"""Acknowledges and marks alerts, adds notes and sends deliveries again. Each action is one transaction and
adds an event to the timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from core.request_id import current_request_id
from observability.alerts.delivery import outbox
from observability.alerts.errors import CannotAcknowledge, CannotMark, CannotResend, ReasonMissing
from observability.models import Delivery, Episode, EpisodeEvent
from observability.notifiers import registry

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


def retire_latest(fingerprint: str) -> None:
    """Clears `is_latest` of the newest episode of `fingerprint`, so that a new episode can be created.

    Call it in the transaction that creates the new episode. The webhook does the same in SQL.
    """
    Episode.objects.filter(fingerprint=fingerprint, is_latest=True).update(is_latest=False)


@transaction.atomic
def acknowledge(*, episode_id: int, actor: AbstractBaseUser, note: str = "") -> Episode:
    """Stores that `actor` handles the alert, and acknowledges its incident in PagerDuty.

    Returns the episode. Raises CannotAcknowledge when it is resolved or already acknowledged.
    """
    episode = Episode.objects.select_for_update(of=("self",)).get(pk=episode_id)
    if episode.status == Episode.Status.RESOLVED:
        raise CannotAcknowledge(episode, "it is resolved")
    if episode.acknowledged_at is not None:
        raise CannotAcknowledge(episode, f"{episode.acknowledged_by} has already acknowledged it")
    episode.acknowledged_at = timezone.now()
    episode.acknowledged_by_id = actor.pk
    episode.save(update_fields=["acknowledged_at", "acknowledged_by"])
    append_event(episode, EpisodeEvent.Kind.ACKNOWLEDGED, actor, note)
    paged = set(episode.deliveries.values_list("channel", flat=True))
    channels = [name for name in paged if registry.get(name).keeps_incidents]
    outbox.plan(episode, Delivery.Kind.ACKNOWLEDGE, channels)
    return episode


@transaction.atomic
def add_note(*, episode_id: int, actor: AbstractBaseUser, text: str) -> EpisodeEvent:
    """Adds `text` to the timeline. Raises ReasonMissing when it is empty."""
    if not text.strip():
        raise ReasonMissing("Write a text for the note.")
    episode = Episode.objects.get(pk=episode_id)
    return append_event(episode, EpisodeEvent.Kind.NOTE, actor, text.strip())


@transaction.atomic
def mark(*, episode_id: int, actor: AbstractBaseUser, as_what: str) -> Episode:
    """Stores whether the alert was useful or noise, and by whom in the timeline; it may change later.

    Returns the episode. Raises CannotMark for another word, or when it is marked so already.
    """
    episode = Episode.objects.select_for_update(of=("self",)).get(pk=episode_id)
    if as_what not in Episode.Mark.values:
        raise CannotMark(episode, f"use one of {', '.join(Episode.Mark.values)}")
    if episode.mark == as_what:
        raise CannotMark(episode, f"it is marked as {as_what} already")
    episode.mark = as_what
    episode.save(update_fields=["mark"])
    append_event(episode, EpisodeEvent.Kind.MARKED, actor, as_what)
    return episode


@transaction.atomic
def resend(*, delivery_id: int, actor: AbstractBaseUser, reason: str) -> Delivery:
    """Plans a new delivery of the same kind on the same channel, linked to the old one, and returns it.

    A digest is sent again with its alerts. Raises ReasonMissing for an empty `reason`, CannotResend while the
    old delivery is unfinished.
    """
    if not reason.strip():
        raise ReasonMissing("Give a reason for sending it again.")
    old = Delivery.objects.select_for_update(of=("self",)).get(pk=delivery_id)
    if old.state in Delivery.UNFINISHED:
        raise CannotResend(old, "it is not finished yet")
    new = Delivery.objects.create(
        episode_id=old.episode_id,
        channel=old.channel,
        kind=old.kind,
        digest_of=old.digest_of,
        severity=old.severity,
        round=old.round,
        unacknowledged_minutes=old.unacknowledged_minutes,
        priority=outbox.priority_of(old.kind, old.severity),
        resend_of=old,
        requested_by_id=actor.pk,
    )
    text = f"{old.get_kind_display()} to {old.channel}: {reason.strip()}"
    if old.episode is None:
        old.members.update(state=Delivery.State.DIGESTED, digest=new, finished_at=None)
        for episode in Episode.objects.filter(deliveries__digest=new):
            append_event(episode, EpisodeEvent.Kind.RESENT, actor, text)
    else:
        append_event(old.episode, EpisodeEvent.Kind.RESENT, actor, text)
    outbox.ring_on_commit([new.channel])
    return new


def append_event(
    episode: Episode, kind: EpisodeEvent.Kind, actor: AbstractBaseUser, text: str
) -> EpisodeEvent:
    """Adds an event to the timeline, with the id of the current request."""
    return EpisodeEvent.objects.create(
        episode=episode,
        kind=kind,
        actor_id=actor.pk,
        text=text,
        request_id=current_request_id(),
    )
