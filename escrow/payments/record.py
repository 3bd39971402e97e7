"""Records what an attempt found out about a payout, if this worker still has the lease: one transaction.

What a provider says about a payout that has ended moves nothing: it agrees, or it is noted as a
contradiction. The one exception is documented by providers: a settled payout whose money comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from core.outcomes import Rejected, RetryLater
from core.states import By
from escrow import metrics
from escrow.models.payments import Contradiction, Payout
from escrow.payments import booking
from escrow.payments.base import NotFound, PayoutSeen, PayoutStatus, Provider, Unknown
from escrow.payments.calls import Made
from escrow.payments.claim import WorkClaim, next_look, next_recheck
from escrow.payments.contradictions import note
from escrow.payments.reported import finish_events
from escrow.payments.states import PAYOUT_ENDS, PayoutState, PayoutStep, Who
from escrow.payments.transitions import change_payout, lock_claimed

Result = PayoutSeen | NotFound | RetryLater | Rejected | Unknown
Kind = Contradiction.Kind
LONGEST_ID = 100
# A refusal of a payout whose outcome was unknown counts only when no first request can still arrive late.
FIRST_REQUEST_IS_OVER = timedelta(hours=1)


class End(NamedTuple):
    """A step that ends a payout, and what it does to the money."""

    step: PayoutStep
    book: Callable[[Payout], None]


SETTLE = End(PayoutStep.SETTLE, booking.settle)
FAIL = End(PayoutStep.FAIL, booking.fail)
RETURN = End(PayoutStep.RETURN, booking.return_money)
# What a conclusive status leads to, by the state that it is seen in. A pair that is missing is no news (when
# provider and Amani agree) or a contradiction.
ENDS: dict[PayoutStatus, dict[str, End]] = {
    PayoutStatus.SETTLED: dict.fromkeys(("requested", "sent", "unknown"), SETTLE),
    PayoutStatus.FAILED: dict.fromkeys(("requested", "sent", "unknown"), FAIL),
    PayoutStatus.REVERSED: dict.fromkeys(("requested", "sent", "unknown"), FAIL) | {"settled": RETURN},
}
AGREES = {
    PayoutState.SETTLED: {PayoutStatus.SETTLED, PayoutStatus.UNKNOWN},
    PayoutState.FAILED: {PayoutStatus.FAILED, PayoutStatus.REVERSED, PayoutStatus.UNKNOWN},
    PayoutState.RETURNED: {PayoutStatus.REVERSED, PayoutStatus.UNKNOWN},
}


def record(claimed: WorkClaim[Payout], provider: Provider, calls: Sequence[Made[Result]]) -> None:
    """Records the calls and what follows from the last one; processes the webhooks of the claim with it."""
    by = By(Who.PROVIDER, provider=provider.name)
    with transaction.atomic():
        payout = lock_claimed(claimed)
        for call in calls:
            if call.operation:  # without one, no request was made
                call.row(provider.name, payout=claimed.row).save(force_insert=True)
        if payout is None:
            return
        last = calls[-1]
        apply(payout, by, last)
        release_lease(payout, last)
        finish_events(claimed.event_ids, last.outcome)


def apply(payout: Payout, by: By, call: Made[Result]) -> None:
    match call.outcome:
        case PayoutSeen() as seen:
            apply_seen(payout, by, seen)
        case NotFound():
            apply_not_found(payout)
        case Rejected():
            apply_refusal(payout, by, call.text)
        case Unknown():
            lose_track(payout, by, call.text)
        case RetryLater():
            if payout.state == PayoutState.REQUESTED:  # certainly not sent
                payout.first_sent_at = payout.last_sent_at = None


def apply_seen(payout: Payout, by: By, seen: PayoutSeen) -> None:
    if differs(payout, seen):
        lose_track(payout, by, "The provider has another payout with this reference.")
        return
    if seen.status == PayoutStatus.UNKNOWN:
        transaction.on_commit(partial(metrics.record_unknown_status, payout.provider))
    if payout.state in PAYOUT_ENDS and seen.status in AGREES[PayoutState(payout.state)]:
        return
    end = ENDS.get(seen.status, {}).get(payout.state)
    if end is not None:
        change_payout(payout, end.step, by, seen.text, **known_there(payout, seen))
        end.book(payout)
    elif payout.state in PAYOUT_ENDS:
        note(payout, Kind.AFTER_THE_END, booked=payout.state, said=f"{seen.status}: {seen.text}")
    elif seen.status == PayoutStatus.UNKNOWN:
        lose_track(payout, by, f"Unknown status: {seen.text}")
    elif payout.state != PayoutState.SENT:
        change_payout(payout, PayoutStep.ACCEPT, by, seen.text, **known_there(payout, seen))


def differs(payout: Payout, seen: PayoutSeen) -> bool:
    """Returns whether the answer is about other money, and notes how."""
    pairs = (
        (Kind.OTHER_REFERENCE, payout.reference, seen.reference),
        (Kind.OTHER_CURRENCY, payout.currency, seen.currency),
        (Kind.OTHER_AMOUNT, str(payout.amount_minor), str(seen.amount_minor)),
    )
    other = [pair for pair in pairs if pair[1] != pair[2]]
    for kind, booked, said in other:
        note(payout, kind, booked=booked, said=said)
    return bool(other)


def apply_not_found(payout: Payout) -> None:
    """Leaves the payout as it is: what the provider had and no longer knows is a contradiction."""
    if payout.state not in (PayoutState.UNKNOWN, PayoutState.FAILED):
        note(payout, Kind.NOT_KNOWN_THERE, booked=payout.state, said="not found")


def apply_refusal(payout: Payout, by: By, text: str) -> None:
    is_first = payout.state == PayoutState.REQUESTED
    began = payout.first_sent_at
    is_over = began is not None and timezone.now() - began >= FIRST_REQUEST_IS_OVER
    if is_first or (payout.state == PayoutState.UNKNOWN and is_over):
        change_payout(payout, PayoutStep.FAIL, by, text)
        booking.fail(payout)


def lose_track(payout: Payout, by: By, text: str) -> None:
    if payout.state in (PayoutState.REQUESTED, PayoutState.SENT):
        change_payout(payout, PayoutStep.LOSE_TRACK, by, text)


def known_there(payout: Payout, seen: PayoutSeen) -> dict[str, str]:
    return {"provider_reference": seen.provider_reference[:LONGEST_ID] or payout.provider_reference}


def release_lease(payout: Payout, call: Made[Result]) -> None:
    payout.lease_until = None
    now = timezone.now()
    wish = call.outcome.after if isinstance(call.outcome, RetryLater) else None
    if payout.state == PayoutState.SETTLED:
        was_answered = not isinstance(call.outcome, RetryLater)
        asked_next = next_recheck(payout.state_since, now)
        payout.recheck_at = asked_next if was_answered else postponed(payout, now, wish)
    elif payout.state not in PAYOUT_ENDS:
        payout.next_attempt_at = next_look(payout.state_since, now, wish)
        payout.last_error = "" if isinstance(call.outcome, PayoutSeen) else call.text
    columns = ["lease_until", "next_attempt_at", "recheck_at", "last_error", "first_sent_at", "last_sent_at"]
    payout.save(update_fields=columns)


def postponed(payout: Payout, now: datetime, wish: float | None) -> datetime | None:
    """Returns when to ask again after no answer; a question that is not due yet stays where it is."""
    if payout.recheck_at is None:
        return None
    return max(payout.recheck_at, next_look(payout.state_since, now, wish))
