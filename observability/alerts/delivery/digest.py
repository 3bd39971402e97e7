"""A storm becomes a few messages: over a threshold, what waits is bundled, one digest per severity.

The members of a digest are exactly the alerts that its message names. `compose` decides which those are, when
the digest is gathered and again before each attempt, because alerts change in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from observability.alerts.delivery.facts import facts_of, history_url
from observability.models import Delivery
from observability.notifiers.base import Kind, Message, Notifier

DIGEST_KINDS = {Delivery.Kind.TRIGGER, Delivery.Kind.RESOLVE, Delivery.Kind.UNCONFIRMED}
MOST_IN_ONE_DIGEST = 1_000  # more fit in no message; bounds the work of one claim


@dataclass(frozen=True, slots=True)
class Composed:
    """A digest's message, the deliveries that it names, and those for which it has no room."""

    message: Message
    named: list[Delivery]
    left_out: list[Delivery]


def bundles(notifier: Notifier, kind: str) -> bool:
    return kind in DIGEST_KINDS and Kind.DIGEST in notifier.handles


def gather_digest(first: Delivery, alike: list[int], notifier: Notifier) -> Delivery:
    """`first`, or a new digest of the deliveries `alike` (their ids), when these are over the threshold.

    Runs inside the claim's transaction, which has locked `alike`, under the channel's row lock.
    """
    if len(alike) <= settings.ALERT_DIGEST_THRESHOLD:
        return first
    members = compose(with_alerts(Delivery.objects.filter(pk__in=alike)), notifier).named
    if len(members) < 2:
        return first
    digest = Delivery.objects.create(
        channel=first.channel,
        kind=Delivery.Kind.DIGEST,
        digest_of=first.kind,
        severity=first.severity,
        priority=first.priority,
    )
    Delivery.objects.filter(pk__in=[member.pk for member in members]).update(
        state=Delivery.State.DIGESTED, digest=digest, reason=f"In digest {digest.pk}."
    )
    return digest


def compose(deliveries: Iterable[Delivery], notifier: Notifier) -> Composed:
    """The digest of `deliveries`, whatever their order, with as many of them as the notifier can name.

    Composing the named ones again gives the same message, as long as their alerts have not changed.
    """
    ordered = sorted(deliveries, key=place_in_digest)
    message = Message(
        kind=Kind.DIGEST,
        alerts=tuple(
            facts_of(delivery.episode, delivery.unacknowledged_minutes)
            for delivery in ordered
            if delivery.episode
        ),
        environment=settings.ENVIRONMENT,
        console_url=history_url(),
    )
    fits = notifier.digest_capacity(message)
    return Composed(replace(message, alerts=message.alerts[:fits]), ordered[:fits], ordered[fits:])


def place_in_digest(delivery: Delivery) -> tuple[str, int]:
    """Alerts of one name side by side: what they have in common is then said once."""
    return (delivery.episode.alertname if delivery.episode else "", delivery.pk)


def message_of(digest: Delivery, notifier: Notifier) -> Message:
    """The message of a claimed digest. Members that it cannot name, because alerts changed, wait again."""
    composed = compose(with_alerts(waiting_members(digest)), notifier)
    if composed.left_out:
        return_to_waiting(digest, composed.left_out)
    return composed.message


def waiting_members(digest: Delivery) -> QuerySet[Delivery]:
    return digest.members.filter(state=Delivery.State.DIGESTED)


def with_alerts(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    return deliveries.select_related("episode__acknowledged_by")


def return_to_waiting(digest: Delivery, members: Iterable[Delivery]) -> None:
    """Takes `members` out of a digest that this worker is sending; the next claim finds them again."""
    still_ours = Delivery.objects.filter(
        pk=digest.pk, state=Delivery.State.SENDING, attempt_count=digest.attempt_count
    )
    Delivery.objects.filter(
        pk__in=[member.pk for member in members], state=Delivery.State.DIGESTED, digest__in=still_ours
    ).update(state=Delivery.State.PENDING, digest=None, reason="", next_attempt_at=timezone.now())
