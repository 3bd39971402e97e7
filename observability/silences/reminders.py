"""Reminds operators in Slack that a silence is about to end, once for each end."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from observability.alerts.messages import send_slack_alert
from observability.models import Silence, SilenceEvent
from observability.silences.services import append, text_of


def remind_of_ends(now: datetime) -> int:
    """Plans the messages about silences that end soon. Returns how many.

    Occurrences of a window have none: they end as planned.
    """
    lead = timedelta(minutes=settings.SILENCE_REMINDER_MINUTES)
    if not lead:
        return 0
    ending = Silence.objects.filter(
        state=Silence.State.ACTIVE, window=None, reminded_at=None, ends_at__gt=now, ends_at__lte=now + lead
    )
    return sum(remind(row.pk, now, lead) for row in ending.order_by("ends_at"))


@transaction.atomic
def remind(silence_id: int, now: datetime, lead: timedelta) -> bool:
    """Plans the message about one silence in the transaction that marks it. Returns whether it did."""
    row = Silence.objects.select_for_update(of=("self",)).get(pk=silence_id)
    early = min(lead, (row.ends_at - row.starts_at) / 2)  # of a short one, after half its time
    if row.reminded_at is not None or row.state != Silence.State.ACTIVE or row.ends_at - early > now:
        return False
    row.reminded_at = now
    row.save(update_fields=["reminded_at"])
    hides = row.suppressions.filter(ended_at=None).count()
    minutes = max(round((row.ends_at - now) / timedelta(minutes=1)), 1)
    send_slack_alert(
        f"Silence {row.pk} of {row.created_by} ends in {minutes} min. It hides {hides} alert(s) now.",
        context={
            "matchers": text_of(row),
            "reason": row.reason,
            "page": settings.PUBLIC_URL + reverse("admin:observability_silence_change", args=[row.pk]),
        },
    )
    append(row, SilenceEvent.Kind.REMINDED, None, f"{hides} alert(s) hidden then.")
    return True
