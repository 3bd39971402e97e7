"""What operators do to alerts. Each action is one transaction with its row in the timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from core.request_id import current_request_id
from observability.alerts.delivery import doorbell, outbox
from observability.alerts.errors import CannotAcknowledge, CannotResend, ReasonMissing
from observability.models import Delivery, Episode, EpisodeEvent
from observability.notifiers import registry

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


def make_room(fingerprint: str) -> None:
    """Makes the newest episode of `fingerprint` an earlier one, so that another can begin.

    Call it in the transaction that creates the other. The webhook does the same in SQL.
    """
    Episode.objects.filter(fingerprint=fingerprint, is_latest=True).update(is_latest=False)


@transaction.atomic
def acknowledge(*, episode_id: int, actor: AbstractBaseUser, note: str = "") -> Episode:
    """Says that `actor` has it, here and in PagerDuty. Raises CannotAcknowledge when nobody needs to."""
    episode = Episode.objects.select_for_update(of=("self",)).get(pk=episode_id)
    if episode.status == Episode.Status.RESOLVED:
        raise CannotAcknowledge(episode, "it is resolved")
    if episode.acknowledged_at is not None:
        raise CannotAcknowledge(episode, f"{episode.acknowledged_by} has it already")
    episode.acknowledged_at = timezone.now()
    episode.acknowledged_by_id = actor.pk
    episode.save(update_fields=["acknowledged_at", "acknowledged_by"])
    append_event(episode, EpisodeEvent.Kind.ACKNOWLEDGED, actor, note)
    paged = set(episode.deliveries.values_list("channel", flat=True))
    channels = [name for name in paged if registry.get(name).keeps_incidents]
    outbox.plan(episode, Delivery.Kind.ACKNOWLEDGE, channels)
    doorbell.ring_on_commit(channels)
    return episode


@transaction.atomic
def add_note(*, episode_id: int, actor: AbstractBaseUser, text: str) -> EpisodeEvent:
    if not text.strip():
        raise ReasonMissing("A note needs a text.")
    episode = Episode.objects.get(pk=episode_id)
    return append_event(episode, EpisodeEvent.Kind.NOTE, actor, text.strip())


@transaction.atomic
def resend(*, delivery_id: int, actor: AbstractBaseUser, reason: str) -> Delivery:
    """A new delivery of the same word on the same channel, linked to the old one."""
    if not reason.strip():
        raise ReasonMissing("Sending again needs a reason.")
    old = Delivery.objects.select_for_update(of=("self",)).get(pk=delivery_id)
    if old.state in Delivery.UNFINISHED:
        raise CannotResend(old, "it is still on its way")
    new = Delivery.objects.create(
        episode_id=old.episode_id,
        channel=old.channel,
        kind=old.kind,
        digest_of=old.digest_of,
        severity=old.severity,
        round=old.round,
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
    doorbell.ring_on_commit([new.channel])
    return new


def append_event(
    episode: Episode, kind: EpisodeEvent.Kind, actor: AbstractBaseUser | None, text: str
) -> EpisodeEvent:
    return EpisodeEvent.objects.create(
        episode=episode,
        kind=kind,
        actor_id=actor.pk if actor else None,
        text=text,
        request_id=current_request_id(),
    )
