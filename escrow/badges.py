"""Badges of escrows, milestones, events and transfers, and names in words, for the admin's pages."""

from __future__ import annotations

from collections.abc import Mapping

from core.console.display import Badge
from escrow.models.chart import AccountKind, TransferKind
from escrow.models.payments import Contradiction, PaymentEvent
from escrow.payments.registry import PROVIDERS
from escrow.payments.states import CollectionState, CollectionStep, PayoutState, PayoutStep
from escrow.states import Event, MilestoneState, MilestoneStep, State

STATE_BADGES = {
    State.DRAFT: Badge("quiet", "edit_document", "Draft"),
    State.PROPOSED: Badge("waiting", "contract", "Proposed"),
    State.AGREED: Badge("info", "handshake", "Agreed"),
    State.AWAITING_FUNDS: Badge("waiting", "hourglass_top", "Awaiting funds"),
    State.FUNDED: Badge("info", "savings", "Funded"),
    State.IN_PROGRESS: Badge("info", "play_arrow", "In progress"),
    State.COMPLETED: Badge("good", "check_circle", "Completed"),
    State.CANCELLED: Badge("quiet", "cancel", "Cancelled"),
    State.REFUNDED: Badge("quiet", "reply", "Refunded"),
    State.CLOSED_MIXED: Badge("quiet", "call_split", "Closed, mixed"),
}
FROZEN = Badge("bad", "ac_unit", "Frozen")
SHORT = Badge("bad", "money_off", "Short")
MILESTONE_BADGES = {
    MilestoneState.PENDING: Badge("quiet", "schedule", "Not funded"),
    MilestoneState.FUNDED: Badge("info", "savings", "Funded"),
    MilestoneState.SUBMITTED: Badge("waiting", "inventory_2", "Submitted"),
    MilestoneState.RELEASE_REQUESTED: Badge("warning", "pending", "Release waits"),
    MilestoneState.DISPUTED: Badge("bad", "gavel", "Disputed"),
    MilestoneState.RESOLVED: Badge("quiet", "balance", "Resolved"),
    MilestoneState.RELEASED: Badge("good", "check_circle", "Released"),
    MilestoneState.REFUNDED: Badge("quiet", "reply", "Refunded"),
    MilestoneState.CANCELLED: Badge("quiet", "cancel", "Cancelled"),
}
# Of an escrow and of a milestone; what both have reads the same.
EVENT_BADGES: dict[str, Badge] = {
    Event.REWRITE: Badge("quiet", "edit_document", "Draft rewritten"),
    Event.PROPOSE: Badge("info", "contract", "Proposed"),
    Event.COUNTER_PROPOSE: Badge("info", "contract_edit", "Counter-proposed"),
    Event.JOIN: Badge("info", "person_add", "Invitation accepted"),
    Event.AGREE: Badge("good", "handshake", "Agreed"),
    Event.AWAIT_FUNDS: Badge("waiting", "hourglass_top", "Awaits funds"),
    Event.RECEIVE_PART: Badge("info", "call_received", "Part of the money arrived"),
    Event.FUND: Badge("good", "savings", "Funded"),
    Event.BEGIN: Badge("info", "play_arrow", "Begun"),
    Event.ASK_CANCEL: Badge("warning", "contact_support", "Asked to cancel"),
    Event.KEEP: Badge("info", "undo", "Cancelling withdrawn or declined"),
    Event.FREEZE: Badge("bad", "ac_unit", "Frozen"),
    Event.UNFREEZE: Badge("good", "sunny", "Unfrozen"),
    Event.TAKE_BACK: Badge("bad", "undo", "Payment taken back, frozen"),
    Event.MAKE_GOOD: Badge("good", "savings", "What was missing arrived"),
    Event.END_SHORT: Badge("warning", "money_off", "Ended short"),
    Event.EXPIRE: Badge("quiet", "event_busy", "Expired"),
    Event.COMPLETE: Badge("good", "check_circle", "Completed"),
    Event.CANCEL: Badge("quiet", "cancel", "Cancelled"),
    Event.REFUND: Badge("quiet", "reply", "Refunded"),
    Event.CLOSE: Badge("quiet", "call_split", "Closed, mixed"),
    MilestoneStep.SUBMIT: Badge("info", "inventory_2", "Submitted"),
    MilestoneStep.REJECT: Badge("warning", "thumb_down", "Rejected"),
    MilestoneStep.RELEASE_PART: Badge("good", "handshake", "Part released"),
    MilestoneStep.APPROVE: Badge("good", "thumb_up", "Approved"),
    MilestoneStep.AWARD: Badge("good", "thumb_up", "Awarded to the seller"),
    MilestoneStep.FALL_DUE: Badge("info", "timer", "Inspection over"),
    MilestoneStep.RELEASE: Badge("good", "check_circle", "Released"),
}
PAYOUT_BADGES = {
    PayoutState.REQUESTED: Badge("waiting", "hourglass_top", "Requested"),
    PayoutState.SENT: Badge("waiting", "send", "Sent"),
    PayoutState.UNKNOWN: Badge("warning", "help", "Unknown"),
    PayoutState.SETTLED: Badge("good", "check_circle", "Settled"),
    PayoutState.FAILED: Badge("bad", "error", "Failed"),
    PayoutState.RETURNED: Badge("warning", "undo", "Returned"),
}
COLLECTION_BADGES = {
    CollectionState.STARTED: Badge("waiting", "hourglass_top", "Started"),
    CollectionState.OPEN: Badge("waiting", "shopping_cart_checkout", "Open"),
    CollectionState.RECEIVED: Badge("good", "check_circle", "Received"),
    CollectionState.UNPAID: Badge("quiet", "event_busy", "Unpaid"),
    CollectionState.REVERSED: Badge("bad", "undo", "Taken back"),
}
STEP_BADGES: dict[str, Badge] = {
    "request": Badge("info", "hourglass_top", "Requested"),  # how a payout begins …
    "start": Badge("info", "hourglass_top", "Started"),  # … and a collection
    PayoutStep.ACCEPT: Badge("waiting", "send", "Sent"),
    PayoutStep.LOSE_TRACK: Badge("warning", "help", "Outcome unknown"),
    PayoutStep.SETTLE: Badge("good", "check_circle", "Settled"),
    PayoutStep.FAIL: Badge("bad", "error", "Failed"),
    PayoutStep.RETURN: Badge("warning", "undo", "Returned"),
    CollectionStep.OPEN: Badge("waiting", "shopping_cart_checkout", "Opened"),
    CollectionStep.RECEIVE: Badge("good", "check_circle", "Received"),
    CollectionStep.END: Badge("quiet", "event_busy", "Ended without money"),
    CollectionStep.TAKE_BACK: Badge("bad", "undo", "Taken back"),
}
CONTRADICTED = Badge("bad", "warning", "Contradicted")
CONTRADICTION_OPEN = Badge("bad", "warning", "Open")
CONTRADICTION_CLOSED = Badge("quiet", "check", "Closed")
PAYMENT_EVENT_BADGES = {
    PaymentEvent.State.PENDING: Badge("waiting", "hourglass_top", "To be processed"),
    PaymentEvent.State.DONE: Badge("good", "check", "Done"),
    PaymentEvent.State.UNMATCHED: Badge("warning", "link_off", "Not of ours"),
    PaymentEvent.State.REFUSED: Badge("warning", "gpp_bad", "Refused"),
    PaymentEvent.State.FAILED: Badge("bad", "error", "Given up"),
}
OUTCOME_TONES = {"ok": "good", "rejected": "bad", "unknown": "warning", "retry": "waiting"}
TRANSFER_BADGES = {
    TransferKind.FUNDING: Badge("good", "call_received", "Funding"),
    TransferKind.FUNDING_EXCESS: Badge("warning", "add_circle", "Excess funding"),
    TransferKind.FUNDING_REVERSED: Badge("bad", "undo", "Funding taken back"),
    TransferKind.PROVIDER_FEE: Badge("quiet", "percent", "Provider's fee"),
    TransferKind.RELEASE: Badge("good", "handshake", "Release"),
    TransferKind.REFUND: Badge("info", "reply", "Refund"),
    TransferKind.PAYOUT_REQUESTED: Badge("waiting", "hourglass_top", "Payout requested"),
    TransferKind.PAYOUT_SETTLED: Badge("good", "call_made", "Payout settled"),
    TransferKind.PAYOUT_FAILED: Badge("bad", "error", "Payout failed"),
    TransferKind.PAYOUT_RETURNED: Badge("warning", "undo", "Payout returned"),
    TransferKind.CORRECTION: Badge("warning", "edit", "Correction"),
    TransferKind.REVERSAL: Badge("warning", "history", "Reversal"),
}
# `{}` stands for the owner: the id of an escrow or a user, or the name of a provider.
ACCOUNT_WORDS: Mapping[str, str] = {
    AccountKind.ESCROW_HELD: "held for escrow {}",
    AccountKind.SELLER_PAYABLE: "owed to seller {}",
    AccountKind.BUYER_REFUNDABLE: "owed back to buyer {}",
    AccountKind.PAYOUT_IN_TRANSIT: "being paid out to user {}",
    AccountKind.PROVIDER_CLEARING: "at {}",
    AccountKind.PLATFORM_FEE: "fees earned",
    AccountKind.PROVIDER_FEE: "fees of {}",
    AccountKind.SUSPENSE: "received by {}, owner not known",
    AccountKind.CHARGEBACK_LOSS: "lost to reversed payments",
}
OF_PROVIDERS = (AccountKind.PROVIDER_CLEARING, AccountKind.PROVIDER_FEE, AccountKind.SUSPENSE)


def transfer_badge(kind: str) -> Badge:
    return TRANSFER_BADGES[TransferKind(kind)]


def event_badge(event: str) -> Badge:
    return EVENT_BADGES.get(event) or Badge("quiet", "circle", event.replace("_", " ").capitalize())


def payout_badge(state: str) -> Badge:
    return PAYOUT_BADGES[PayoutState(state)]


def collection_badge(state: str) -> Badge:
    return COLLECTION_BADGES[CollectionState(state)]


def step_badge(event: str) -> Badge:
    """Returns the badge of an event of a payout or a collection."""
    return STEP_BADGES.get(event) or Badge("quiet", "circle", event.replace("_", " ").capitalize())


def payment_event_badge(state: str) -> Badge:
    return PAYMENT_EVENT_BADGES[PaymentEvent.State(state)]


def contradiction_badge(row: Contradiction) -> Badge:
    return CONTRADICTION_OPEN if row.closed_at is None else CONTRADICTION_CLOSED


def payment_provider(name: str) -> str:
    """Returns the provider's label; its name in old rows of a provider that is gone."""
    known = PROVIDERS.get(name)
    return known.label if known else name


def account_words(kind: str, owner: str) -> str:
    """Returns the account's name as an operator reads it, for example `held for escrow 12`."""
    name = payment_provider(owner) if kind in OF_PROVIDERS else owner
    return ACCOUNT_WORDS[kind].format(name)
