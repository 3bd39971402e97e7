"""Compares the rows with what Alertmanager has: what was lost, expired or changed there, and made elsewhere.

Alertmanager is the truth about what is silenced. A silence of Amani's that it lost (it writes them to disk
every 15 minutes only) is set again; one that was expired or changed there is shown so, and not set again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min, Q
from django.utils import timezone

from observability import metrics
from observability.alerts.intake.payload import clean
from observability.models import Heartbeat, Silence, SilenceEvent
from observability.silences import alertmanager, reminders, suppressed, windows
from observability.silences.alertmanager import Found, NoAnswer, Refused
from observability.silences.matchers import to_api
from observability.silences.services import append
from observability.silences.work import waiting

MARKER = re.compile(r"amani:([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
SAME = timedelta(seconds=1)
MOST_FOREIGN = 1_000  # new rows in one pass
LONGEST_TEXT = 2_000

State = Silence.State
Kind = SilenceEvent.Kind
log = structlog.get_logger(__name__)


def watch() -> None:
    """Runs all checks and updates the gauges. The worker calls it every few seconds."""
    now = timezone.now()
    windows.plan(now)
    end_by_time(now)
    look(now)
    reminders.remind_of_ends(now)
    update_gauges(now)


@transaction.atomic
def end_by_time(now: datetime) -> None:
    """Ends the rows whose time is over; that needs no answer of Alertmanager."""
    over = Silence.objects.select_for_update(of=("self",)).filter(state=State.ACTIVE, ends_at__lte=now)
    for row in over.order_by("pk"):
        finish(row, now, "Its time was over.")


def look(now: datetime) -> None:
    """Reads Alertmanager's silences and alerts, and makes the rows agree; not without an answer."""
    if not settings.ALERTMANAGER_URL:
        return
    try:
        alerts = alertmanager.alerts()  # first, so that the silences of all of them are in the second answer
        found = alertmanager.silences()
    except (NoAnswer, Refused) as problem:
        log.warning("silences_not_read", error=str(problem))
        return
    if observe(found, now):
        suppressed.compare(alerts, now)


@transaction.atomic
def observe(found: list[Found], asked_at: datetime) -> bool:
    """Makes the rows agree with `found`, which Alertmanager had at `asked_at`.

    Returns False for an answer older than the newest that was observed; then nothing changes.
    """
    if not is_newest(asked_at):
        return False
    ours = defaultdict(list)
    others = []
    rows = rows_about(found)
    by_key = {row.key: row for row in rows}
    by_id = {row.alertmanager_id: row for row in rows if row.alertmanager_id}
    for each in found:
        key = key_in(each.comment)
        row = (by_key.get(key) if key else None) or by_id.get(each.id)
        if row is None:
            others.append(each)
        else:
            ours[row.pk].append(each)
    for row in rows:
        judge(row, ours[row.pk], asked_at)
    adopt_foreign([each for each in others if each.state != "expired"], asked_at)
    return True


def is_newest(asked_at: datetime) -> bool:
    """Stores that an answer from `asked_at` is being observed, unless a newer one was.

    Locks the row of it, so that two answers are observed one after the other.
    """
    row, _ = Heartbeat.objects.select_for_update().get_or_create(
        name=Heartbeat.SILENCES, defaults={"last_seen_at": None}
    )
    if row.last_seen_at is not None and row.last_seen_at >= asked_at:
        return False
    row.last_seen_at = asked_at
    row.save(update_fields=["last_seen_at"])
    return True


def rows_about(found: list[Found]) -> list[Silence]:
    """Locks and returns the rows that have not ended, and those of what Alertmanager has."""
    keys = [key for key in (key_in(each.comment) for each in found) if key]
    about = Q(state__in=Silence.UNFINISHED) | Q(key__in=keys) | Q(alertmanager_id__in=[f.id for f in found])
    return list(Silence.objects.select_for_update(of=("self",)).filter(about).order_by("pk"))


def key_in(comment: str) -> UUID | None:
    found = MARKER.search(comment)
    return UUID(found[1]) if found else None


def judge(row: Silence, there: list[Found], asked_at: datetime) -> None:
    """Makes one row agree with the silences that Alertmanager has of it."""
    alive = sorted(
        (each for each in there if each.state != "expired"), key=lambda each: each.id != row.alertmanager_id
    )
    if row.lease_until is not None or row.next_attempt_at is not None:
        return  # a worker has it, or will
    if row.state in (State.EXPIRED, State.FAILED):
        if alive and row.finished_at is not None and row.finished_at < asked_at:
            revive(row, alive[0], asked_at)
    elif row.state == State.ACTIVE and (row.set_at is None or row.set_at < asked_at):
        if alive:
            agree(row, alive, asked_at)
        elif there or row.is_foreign:
            is_early = bool(there) and there[0].ends_at < row.ends_at - SAME
            row.ends_at = (
                max(min(row.ends_at, there[0].ends_at), row.starts_at + SAME) if there else row.ends_at
            )
            finish(row, asked_at, "Expired in Alertmanager." if is_early else "Its time was over.")
        else:
            set_again(row, asked_at)


def revive(row: Silence, alive: Found, asked_at: datetime) -> None:
    """Handles a silence that is in Alertmanager though its row has ended: a late request set it."""
    if row.is_foreign:
        row.state, row.finished_at = State.ACTIVE, None
        row.starts_at, row.ends_at = alive.starts_at, alive.ends_at
        row.save()
        append(row, Kind.CHANGED, None, "It is set again.")
        return
    row.state, row.next_attempt_at, row.wanted_at = State.ENDING, asked_at, asked_at
    row.save()
    append(row, Kind.CHANGED, None, "Alertmanager still had it; it is expired again.")


def agree(row: Silence, alive: list[Found], asked_at: datetime) -> None:
    """Takes over what Alertmanager has; a second silence of the same row is to be expired by the worker."""
    first = alive[0]
    if abs(first.ends_at - row.ends_at) > SAME:
        append(row, Kind.CHANGED, None, f"It ends {first.ends_at:%Y-%m-%d %H:%M} UTC there.")
    row.alertmanager_id = first.id
    row.starts_at, row.ends_at, row.set_at = first.starts_at, first.ends_at, asked_at
    if len(alive) > 1:
        row.state, row.next_attempt_at, row.wanted_at = State.WANTED, asked_at, asked_at
    row.save()


def finish(row: Silence, now: datetime, why: str) -> None:
    row.state, row.finished_at, row.next_attempt_at = State.EXPIRED, now, None
    row.save(update_fields=["state", "finished_at", "next_attempt_at", "ends_at"])
    append(row, Kind.EXPIRED, None, why)


def set_again(row: Silence, now: datetime) -> None:
    row.state, row.next_attempt_at, row.wanted_at = State.WANTED, now, now
    row.save(update_fields=["state", "next_attempt_at", "wanted_at"])
    append(row, Kind.LOST, None, "Alertmanager no longer has it; it is set again.")


def adopt_foreign(found: Iterable[Found], now: datetime) -> None:
    """Adds rows for silences that were made outside of Amani."""
    for each in list(found)[:MOST_FOREIGN]:
        row = Silence.objects.create(
            matchers=to_api(each.matchers),
            reason=clean(each.comment)[:LONGEST_TEXT],
            created_by=clean(each.created_by)[:LONGEST_TEXT],
            starts_at=each.starts_at,
            ends_at=each.ends_at,
            state=State.ACTIVE,
            alertmanager_id=each.id,
            set_at=now,
            next_attempt_at=None,
        )
        append(row, Kind.SEEN, None, "Made outside of Amani.")


def update_gauges(now: datetime) -> None:
    counted = (
        Silence.objects.filter(Q(state__in=Silence.UNFINISHED) | Q(state=State.FAILED, ends_at__gt=now))
        .order_by()
        .values_list("state")
        .annotate(Count("pk"))
    )
    oldest = waiting().aggregate(Min("wanted_at"))["wanted_at__min"] or now
    metrics.record_silences(dict(counted), (now - oldest).total_seconds())
