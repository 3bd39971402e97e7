"""A storm becomes a few messages: over a threshold, what waits is bundled, one digest per severity."""

from __future__ import annotations

from django.conf import settings
from django.db.models import QuerySet

from observability.alerts.delivery.facts import facts_of
from observability.models import Delivery, Episode
from observability.notifiers.base import Kind, Notifier

DIGEST_KINDS = {Delivery.Kind.TRIGGER, Delivery.Kind.RESOLVE}
MOST_IN_ONE_DIGEST = 1_000  # more fit in no message; bounds the work of one claim


def bundles(notifier: Notifier, kind: str) -> bool:
    return kind in DIGEST_KINDS and Kind.DIGEST in notifier.handles


def gather_digest(first: Delivery, notifier: Notifier, due: QuerySet[Delivery]) -> Delivery:
    """`first`, or a new digest of it and what waits with it, when that is over the threshold.

    Runs inside the claim's transaction, under the channel's row lock.
    """
    alike = due.filter(state=Delivery.State.PENDING, kind=first.kind, severity=first.severity, resend_of=None)
    if first.kind == Delivery.Kind.TRIGGER:
        alike = alike.filter(episode__status=Episode.Status.FIRING)
    if len(alike.values_list("pk")[: settings.ALERT_DIGEST_THRESHOLD + 1]) <= settings.ALERT_DIGEST_THRESHOLD:
        return first
    waiting = list(
        alike.select_related("episode").select_for_update(of=("self",), skip_locked=True)[:MOST_IN_ONE_DIGEST]
    )
    # Alerts of one name side by side: what they have in common is then said once.
    waiting.sort(key=lambda delivery: delivery.episode.alertname if delivery.episode else "")
    fits = notifier.digest_capacity([facts_of(delivery.episode) for delivery in waiting if delivery.episode])
    members = waiting[: max(fits, 1)]
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
