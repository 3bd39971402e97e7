"""Tells Alertmanager what its silences should be: claims a row, asks outside any transaction, records it.

A silence is recognised by the key in its comment. So a worker that takes over from one that was killed finds
what that one set, and sets nothing twice; of two that exist nevertheless it expires one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from core.leases import Backoff, Claim, claim_next, claims_within
from observability import metrics
from observability.models import Silence, SilenceEvent
from observability.silences import alertmanager
from observability.silences.alertmanager import Found, NoAnswer, Refused, Unknown
from observability.silences.services import append

LEASE = timedelta(seconds=60)  # longer than the requests of one attempt take together
MOST_AT_ONCE = 2
LONGEST_RUN_SECONDS = 20.0
BACKOFF = Backoff(share=0.2, shortest_seconds=2.0, longest_seconds=30.0)
ENDED_UNSET = "Its time was over before Alertmanager had taken it."

State = Silence.State
Kind = SilenceEvent.Kind
log = structlog.get_logger(__name__)


class Done(NamedTuple):
    """What became of an attempt. `alertmanager_id`: of the silence that is there now; "" for none."""

    state: State
    alertmanager_id: str
    event: SilenceEvent.Kind
    text: str = ""


def run_due() -> int:
    """Processes what is due until nothing is or the time is over. Returns the number of attempts."""
    attempts = 0
    for claimed in claims_within(LONGEST_RUN_SECONDS, claim):
        attempt(claimed)
        attempts += 1
    return attempts


def claim() -> Claim[Silence] | None:
    now = timezone.now()
    return claim_next(due(now), among=waiting(), lease=LEASE, most_at_once=MOST_AT_ONCE)


def waiting() -> QuerySet[Silence]:
    return Silence.objects.filter(next_attempt_at__isnull=False)


def due(now: datetime) -> QuerySet[Silence]:
    return waiting().filter(next_attempt_at__lte=now).order_by("next_attempt_at", "pk")


def attempt(claimed: Claim[Silence]) -> None:
    """Asks Alertmanager for what the row wants, and records the outcome."""
    row = claimed.row
    try:
        done = expired(row) if row.state == State.ENDING else applied(row, timezone.now())
    except NoAnswer as problem:
        metrics.record_silence_attempt("retry")
        record_retry(claimed, str(problem))
        log.info("silence_attempt", silence=row.pk, outcome="retry")
        return
    metrics.record_silence_attempt("refused" if done.event == Kind.FAILED else "applied")
    record(claimed, done)
    log.info("silence_attempt", silence=row.pk, outcome=str(done.event))


def applied(row: Silence, now: datetime) -> Done:
    """Makes exactly one silence of Alertmanager's what the row says. Raises NoAnswer."""
    if row.ends_at <= now:
        if row.alertmanager_id:
            return Done(State.EXPIRED, row.alertmanager_id, Kind.EXPIRED, "Its time was over.")
        return Done(State.FAILED, "", Kind.FAILED, ENDED_UNSET)
    there = alive(row)
    first = there[0] if there else None
    for other in there[1:]:
        remove(other.id)
    if first is not None and first.ends_at == row.ends_at:
        return Done(State.ACTIVE, first.id, Kind.SET)
    try:
        return Done(State.ACTIVE, put(row, first), Kind.SET)
    except Refused as problem:
        # An extension that is refused leaves the silence as it was: the watch reads its end.
        return Done(
            State.ACTIVE if first else State.FAILED, first.id if first else "", Kind.FAILED, str(problem)
        )


def put(row: Silence, known: Found | None) -> str:
    """Creates the silence, or updates `known`. Returns its id."""
    document = {
        "matchers": row.matchers,
        "startsAt": known.start if known else row.starts_at.isoformat(),
        "endsAt": row.ends_at.isoformat(),
        "createdBy": row.created_by,
        "comment": f"{row.reason} ({marker(row)})",
    }
    if known is None:
        return alertmanager.put(document)
    try:
        return alertmanager.put(document | {"id": known.id})
    except Unknown:  # it was forgotten between the two requests
        return alertmanager.put(document)


def expired(row: Silence) -> Done:
    """Expires every silence of the row. Raises NoAnswer."""
    for found in alive(row):
        remove(found.id)
    return Done(State.EXPIRED, row.alertmanager_id, Kind.EXPIRED)


def remove(silence_id: str) -> None:
    try:
        alertmanager.expire(silence_id)
    except Unknown:
        log.info("silence_was_gone", alertmanager_id=silence_id)


def marker(row: Silence) -> str:
    return f"amani:{row.key}"


def alive(row: Silence) -> list[Found]:
    """Returns those silences of the row in Alertmanager that have not expired, the known one first."""
    found = [
        each
        for each in alertmanager.silences()
        if each.state != "expired" and (marker(row) in each.comment or each.id == row.alertmanager_id)
    ]
    return sorted(found, key=lambda each: (each.id != row.alertmanager_id, each.start, each.id))


@transaction.atomic
def record_retry(claimed: Claim[Silence], reason: str) -> None:
    """Stores when to ask again: always, because `applied` ends a wish whose time is over."""
    now = timezone.now()
    at = BACKOFF.next_attempt(since=claimed.row.wanted_at, now=now, until=now + timedelta(days=1))
    claimed.rows().update(lease_until=None, last_error=reason, next_attempt_at=at)


@transaction.atomic
def record(claimed: Claim[Silence], done: Done) -> None:
    """Stores the outcome, unless another worker has the row by now.

    A row that an operator changed during the attempt stays due, and keeps only the id.
    """
    row = claimed.rows().select_for_update(of=("self",)).first()
    if row is None:
        return
    row.alertmanager_id, row.lease_until = done.alertmanager_id, None
    if row.wanted_at != claimed.row.wanted_at:
        row.save(update_fields=["alertmanager_id", "lease_until"])
        return
    now = timezone.now()
    row.state, row.next_attempt_at, row.last_error = done.state, None, ""
    if done.state == State.ACTIVE:
        row.set_at = now
    else:
        row.finished_at = now
    if done.event == Kind.FAILED:
        row.last_error = done.text
    row.save()
    append(row, done.event, None, done.text)
