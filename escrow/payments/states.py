"""The state machines of a payout and of a collection, as tables.

Services ask the tables, the triggers of the models are generated from them, docs/payments.md draws them, and
tests iterate over them. This module imports no model, because the models import it.
"""

from __future__ import annotations

from enum import StrEnum

from django.db import models

from core.states import TransitionTable, allow


class PayoutState(models.TextChoices):
    REQUESTED = "requested", "requested, not sent yet"
    SENT = "sent", "sent, not conclusive"
    UNKNOWN = "unknown", "outcome unknown"
    SETTLED = "settled"
    FAILED = "failed", "failed, money is back"
    RETURNED = "returned", "returned after it was settled"


class CollectionState(models.TextChoices):
    STARTED = "started", "started, the provider does not have it yet"
    OPEN = "open", "open, the buyer may pay"
    RECEIVED = "received"
    UNPAID = "unpaid", "ended without money"
    REVERSED = "reversed", "taken back"


class Who(StrEnum):
    PROVIDER = "provider"  # what it answered when it was asked
    SYSTEM = "system"  # no answer, or the time is over


class PayoutStep(StrEnum):
    """The events of a payout."""

    ACCEPT = "accept"
    LOSE_TRACK = "lose_track"
    SETTLE = "settle"
    FAIL = "fail"
    RETURN = "return"


class CollectionStep(StrEnum):
    """The events of a collection."""

    OPEN = "open"
    RECEIVE = "receive"
    END = "end"
    TAKE_BACK = "take_back"


PAYOUT_OPEN = (PayoutState.REQUESTED, PayoutState.SENT, PayoutState.UNKNOWN)
PAYOUT_ENDS = (PayoutState.SETTLED, PayoutState.FAILED, PayoutState.RETURNED)
COLLECTION_OPEN = (CollectionState.STARTED, CollectionState.OPEN)

PAYOUT_TRANSITIONS = TransitionTable(
    PayoutState,
    allow(PayoutState.REQUESTED, PayoutStep.ACCEPT, PayoutState.SENT, Who.PROVIDER),
    allow(PayoutState.REQUESTED, PayoutStep.LOSE_TRACK, PayoutState.UNKNOWN, Who.SYSTEM, Who.PROVIDER),
    allow(PayoutState.REQUESTED, PayoutStep.SETTLE, PayoutState.SETTLED, Who.PROVIDER),
    allow(PayoutState.REQUESTED, PayoutStep.FAIL, PayoutState.FAILED, Who.PROVIDER),
    allow(PayoutState.SENT, PayoutStep.LOSE_TRACK, PayoutState.UNKNOWN, Who.PROVIDER),
    allow(PayoutState.SENT, PayoutStep.SETTLE, PayoutState.SETTLED, Who.PROVIDER),
    allow(PayoutState.SENT, PayoutStep.FAIL, PayoutState.FAILED, Who.PROVIDER),
    allow(PayoutState.UNKNOWN, PayoutStep.ACCEPT, PayoutState.SENT, Who.PROVIDER),
    allow(PayoutState.UNKNOWN, PayoutStep.SETTLE, PayoutState.SETTLED, Who.PROVIDER),
    allow(PayoutState.UNKNOWN, PayoutStep.FAIL, PayoutState.FAILED, Who.PROVIDER),
    allow(PayoutState.SETTLED, PayoutStep.RETURN, PayoutState.RETURNED, Who.PROVIDER),
)

COLLECTION_TRANSITIONS = TransitionTable(
    CollectionState,
    allow(CollectionState.STARTED, CollectionStep.OPEN, CollectionState.OPEN, Who.PROVIDER),
    allow(CollectionState.STARTED, CollectionStep.RECEIVE, CollectionState.RECEIVED, Who.PROVIDER),
    allow(CollectionState.STARTED, CollectionStep.END, CollectionState.UNPAID, Who.PROVIDER, Who.SYSTEM),
    allow(CollectionState.OPEN, CollectionStep.RECEIVE, CollectionState.RECEIVED, Who.PROVIDER),
    allow(CollectionState.OPEN, CollectionStep.END, CollectionState.UNPAID, Who.PROVIDER, Who.SYSTEM),
    # Money is never refused, however late it comes.
    allow(CollectionState.UNPAID, CollectionStep.RECEIVE, CollectionState.RECEIVED, Who.PROVIDER),
    allow(CollectionState.RECEIVED, CollectionStep.TAKE_BACK, CollectionState.REVERSED, Who.PROVIDER),
)
