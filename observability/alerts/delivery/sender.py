"""Sends what is due on one channel until nothing is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from zlib import crc32

import structlog
from django.db import connection

from core.pooling import require_sessions
from observability.alerts.delivery.abandoned import release_abandoned, release_reserved
from observability.alerts.delivery.claim import Batch, Wait, claim_batch, is_anything_due
from observability.alerts.delivery.record import record
from observability.alerts.delivery.send import send
from observability.models import Delivery
from observability.notifiers import registry
from observability.notifiers.base import Notifier
from observability.tracing import add_span_attributes, get_tracer

SLOTS = 2  # senders at once on one channel: a vendor that hangs must not hold every worker child
LOCK_CLASS = 0x414D  # "AM": Amani's own range of advisory locks
LONGEST_WAIT_SECONDS = 1.5
LONGEST_DRAIN_SECONDS = 30
MOST_IN_ONE_BATCH = 25  # so that two senders share a small storm
LONGEST_BATCH_SECONDS = 1.0  # so that little waits behind a vendor that is slow, and no lease ends

# A sender's statements are planned once (alerts/prepared.py), perhaps while the tables are almost empty.
# Plans made then could read the whole table for each message of a storm that begins afterwards. ADR 0014 has
# the other ways and why they are worse.
LOCK = """
SELECT CASE WHEN pg_try_advisory_lock(%s, %s)
            THEN set_config('enable_seqscan', 'off', false) = 'off' ELSE false END
"""
UNLOCK = "SELECT pg_advisory_unlock(%s, %s), set_config('enable_seqscan', 'on', false)"

log = structlog.get_logger(__name__)
tracer = get_tracer(__name__)


def drain(channel: str) -> int:
    """Sends due deliveries of `channel`, as far as its pace allows; how many attempts it made.

    Returns at once when others hold all slots: they look again before they leave.
    """
    attempts = 0
    until = time.monotonic() + LONGEST_DRAIN_SECONDS
    while time.monotonic() < until:
        with held_slot(channel) as slot:
            if slot is None:
                return attempts
            made, wait = send_due(channel, slot, until)
            attempts += made
        if wait > LONGEST_WAIT_SECONDS or not is_anything_due(channel):
            return attempts
    return attempts


def send_due(channel: str, slot: int, until: float) -> tuple[int, float]:
    """Attempts made, and how long the channel wants to be left alone (seconds)."""
    notifier = registry.get(channel)
    attempts = 0
    while time.monotonic() < until:
        claimed = claim_batch(notifier, slot, MOST_IN_ONE_BATCH)
        if claimed is None:
            return attempts, 0.0
        if isinstance(claimed, Wait):
            if claimed.seconds > LONGEST_WAIT_SECONDS:
                return attempts, claimed.seconds
            time.sleep(claimed.seconds)
            continue
        attempts += send_batch(claimed, notifier)
    return attempts, 0.0


def send_batch(batch: Batch, notifier: Notifier) -> int:
    """Sends a batch and returns how many attempts it made. What is left when its time is up is claimed anew,
    with what came since."""
    attempts = 0
    until = time.monotonic() + LONGEST_BATCH_SECONDS
    reserved = iter(batch.reserved)
    delivery: Delivery | None = batch.first
    while delivery is not None:
        with tracer.start_as_current_span(f"deliver to {notifier.name}"):
            add_span_attributes(delivery=delivery.pk, kind=delivery.kind)
            result = send(delivery, notifier)
            following = next(reserved, None) if time.monotonic() < until else None
            delivery = record(delivery, notifier, result, following)
        attempts += 1
    return attempts


@contextmanager
def held_slot(channel: str) -> Iterator[int | None]:
    """A sender's slot of the channel, or None when all are taken. Frees what its last holder left behind."""
    slot = next((number for number in range(SLOTS) if try_lock(channel, number)), None)
    if slot is None:
        yield None
        return
    try:
        take_over(channel, slot)
        yield slot
        release_reserved(channel, slot)
    finally:
        unlock(channel, slot)


def free_abandoned(channel: str) -> None:
    """Frees what dead senders left behind, whichever slot they held, before their leases end."""
    claimed = Delivery.objects.filter(
        channel=channel, state__in=[Delivery.State.PENDING, Delivery.State.SENDING]
    )
    for slot in claimed.exclude(claim_slot=None).order_by().values_list("claim_slot", flat=True).distinct():
        if slot is None or not try_lock(channel, slot):
            continue
        try:
            take_over(channel, slot)
        finally:
            unlock(channel, slot)


def take_over(channel: str, slot: int) -> None:
    abandoned = release_abandoned(channel, slot)
    if abandoned:
        log.warning("deliveries_taken_over", channel=channel, count=abandoned)


@cache
def check_sessions() -> None:
    """Once for each process. The worker has asked at its start, unless the database did not answer then."""
    require_sessions("Sending alerts")


def try_lock(channel: str, number: int) -> bool:
    check_sessions()
    return run(LOCK, channel, number)


def unlock(channel: str, number: int) -> None:
    if connection.connection is None or connection.connection.closed:
        return
    if not run(UNLOCK, channel, number):
        log.warning("sender_slot_lost", channel=channel, slot=number)  # with the session that had it


def run(statement: str, channel: str, number: int) -> bool:
    key = (crc32(channel.encode()) & 0xFFFFFF) * SLOTS + number
    with connection.cursor() as cursor:
        cursor.execute(statement, [LOCK_CLASS, key])
        row = cursor.fetchone()
    return bool(row and row[0])
