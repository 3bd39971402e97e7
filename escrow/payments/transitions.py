"""Locks payouts, and applies transitions of the table in states.py with an event row for each.

The locking order: idempotency key, escrow, milestones by id, then payout or collection, limit usage, and the
ledger's balances last.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from core.leases import Claim
from core.states import By, move
from escrow import metrics
from escrow.errors import StepRefused
from escrow.models.payments import Payout
from escrow.payments.states import PAYOUT_ENDS, PAYOUT_TRANSITIONS, PayoutStep, Who

SYSTEM = By(Who.SYSTEM)
LONGEST_TEXT = 300


def lock_claimed(claim: Claim[Payout]) -> Payout | None:
    """Locks and returns the payout, if the claim still holds; None if another worker has it by now."""
    return claim.rows().select_for_update(no_key=True).first()


def change_payout(payout: Payout, step: PayoutStep, by: By, text: str = "", **fields: Any) -> None:
    """Applies the step to a locked payout, in the caller's transaction. Raises StepRefused."""
    transition = PAYOUT_TRANSITIONS.allowed(payout.state, step, by)
    if transition is None:
        raise StepRefused("payout", payout.state, step)
    now = timezone.now()
    changed = {**fields, "state_since": now}
    if transition.target in PAYOUT_ENDS:
        changed |= {"next_attempt_at": None, "finished_at": now, "last_error": "", "recheck_at": None}
    move(payout, transition, by, changed, payout.events, text=text[:LONGEST_TEXT])
    transaction.on_commit(partial(metrics.record_payout, payout.provider, payout.state))
    metrics.count_after_commit("payout", payout.state)
