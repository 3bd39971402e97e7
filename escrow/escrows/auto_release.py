"""Releases what is due: deliveries that the buyer did not answer, and releases that had to wait.

Each in a transaction of its own that locks the escrow first. An escrow that another transaction has locked is
skipped, and is looked at by the next sweep; several sweeps at the same time share the work.
"""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial

import structlog
from django.db import OperationalError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from core.states import By
from escrow import metrics, stops
from escrow.errors import EscrowNotFound
from escrow.escrows.ends import follow
from escrow.escrows.milestones import postpone, release_rest
from escrow.escrows.transitions import SYSTEM, Locked, change_milestone, lock
from escrow.models import Milestone
from escrow.states import TIMED, MilestoneState, MilestoneStep
from kyc.standing import standing_of
from observability.sentry import capture_exception

log = structlog.get_logger(__name__)

BATCH = 200
SWEEP_SECONDS = 30.0  # then the next sweep goes on


def due(now: datetime) -> QuerySet[Milestone]:
    """Selects what the sweep has to release, the longest overdue first. Frozen escrows wait."""
    waiting = Milestone.objects.filter(auto_release_at__lte=now, escrow__frozen_at__isnull=True)
    return waiting.order_by("auto_release_at")


def auto_release_due() -> int:
    """Releases what is due, batch by batch, and returns how many milestones were looked at.

    While the money is stopped it does nothing, so that what is late is seen as late.
    """
    ends_at = time.monotonic() + SWEEP_SECONDS
    looked_at = 0
    while time.monotonic() < ends_at and not stops.open_causes():
        batch = list(due(timezone.now()).values_list("pk", "escrow_id")[:BATCH])
        done = sum(release_or_postpone(milestone_id, escrow_id) for milestone_id, escrow_id in batch)
        looked_at += done
        if len(batch) < BATCH or not done:
            break
    return looked_at


def release_or_postpone(milestone_id: int, escrow_id: int) -> bool:
    """Releases one; one that fails is reported and postponed, so that it does not stand before the others."""
    try:
        return release_if_due(milestone_id, escrow_id)
    except OperationalError:
        raise  # the database is away: the next sweep tries all of them again
    except stops.MoneyStopped:
        return False  # since a moment ago: a later sweep releases it
    except Exception as error:
        capture_exception(error, context={"milestone_id": milestone_id})
        log.exception("auto_release_failed", milestone_id=milestone_id)
        return postpone_failed(milestone_id, escrow_id)


@transaction.atomic
def postpone_failed(milestone_id: int, escrow_id: int) -> bool:
    milestone = lock(escrow_id).milestone(milestone_id)
    if milestone.auto_release_at is not None:
        postpone(milestone)
    return True


@transaction.atomic
def release_if_due(milestone_id: int, escrow_id: int) -> bool:
    """Returns False if the escrow is locked by another transaction, or has nothing that is due."""
    try:
        locked = lock(escrow_id, skip_locked=True)
    except EscrowNotFound:
        return False
    milestone = locked.milestone(milestone_id)
    if not is_due(locked, milestone, timezone.now()):
        return False
    release_locked(locked, milestone)
    return True


def is_due(locked: Locked, milestone: Milestone, now: datetime) -> bool:
    """Returns whether the clock may release it: not while it is disputed (no state of TIMED), or frozen."""
    return (
        milestone.state in TIMED
        and milestone.auto_release_at is not None
        and milestone.auto_release_at <= now
        and locked.escrow.frozen_at is None
    )


def release_locked(locked: Locked, milestone: Milestone) -> None:
    due_at, seller_id = milestone.auto_release_at, locked.escrow.seller_id
    if due_at is None or seller_id is None:
        return
    standing = standing_of(person_id=seller_id)
    if standing.is_revoked:
        postpone(milestone)
        return
    if milestone.state == MilestoneState.SUBMITTED:
        change_milestone(milestone, MilestoneStep.FALL_DUE, SYSTEM)
    if release_rest(locked, milestone, By(SYSTEM.who), standing):
        late_seconds = (timezone.now() - due_at).total_seconds()
        transaction.on_commit(partial(metrics.record_auto_release, late_seconds))
    follow(locked, SYSTEM)
