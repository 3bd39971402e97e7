"""What a step of a payout does to ledger and limits. The caller has locked the payout.

    step      account of the user   in transit   clearing (provider)
    request   -x                    +x
    settle                          -x           +x
    fail      +x                    -x
    return    +x                                 -x

A request uses the user's payment limits; a failure or return gives them back, and a settled payout gives back
the limit of what is held at one time, which a release of a milestone had used.
"""

from __future__ import annotations

from django.utils import timezone

from escrow import ledger
from escrow.ledger import Account, Leg, TransferKind
from escrow.models.payments import Payout, Source
from kyc.limits import give_back, use, use_if_possible
from kyc.limits.usage import PAYMENT
from kyc.models import LimitKind


def hold(payout: Payout) -> int:
    """Uses the limits, moves the money into transit, and returns the transfer's id.

    Raises LimitExceeded, NoLimitSet or InsufficientFunds; then the caller's transaction must be rolled back.
    """
    use(
        person_id=payout.user_id,
        currency=payout.currency,
        amount_minor=payout.amount_minor,
        kinds=PAYMENT,
        at=payout.created_at,
    )
    posted = ledger.post(
        kind=TransferKind.PAYOUT_REQUESTED,
        key=f"payout:{payout.pk}:requested",
        legs=legs(payout, source_of(payout), transit_of(payout)),
        actor_id=payout.user_id,
    )
    return posted.transfer_id


def settle(payout: Payout) -> None:
    give_back_balance(payout)
    ledger.post(
        kind=TransferKind.PAYOUT_SETTLED,
        key=f"payout:{payout.pk}:settled",
        legs=legs(payout, transit_of(payout), clearing_of(payout)),
        resolves_id=payout.hold_id,
    )


def fail(payout: Payout) -> None:
    give_back_payment(payout)
    ledger.post(
        kind=TransferKind.PAYOUT_FAILED,
        key=f"payout:{payout.pk}:failed",
        legs=legs(payout, transit_of(payout), source_of(payout)),
        resolves_id=payout.hold_id,
    )


def return_money(payout: Payout) -> None:
    """Books what came back after it was settled."""
    give_back_payment(payout)
    use_balance(payout)
    ledger.post(
        kind=TransferKind.PAYOUT_RETURNED,
        key=f"payout:{payout.pk}:returned",
        legs=legs(payout, clearing_of(payout), source_of(payout)),
    )


def legs(payout: Payout, taken_from: Account, given_to: Account) -> list[Leg]:
    return [Leg(taken_from, -payout.amount_minor), Leg(given_to, payout.amount_minor)]


def source_of(payout: Payout) -> Account:
    account = ledger.payable if payout.source == Source.PAYABLE else ledger.refundable
    return account(payout.user_id, payout.currency)


def transit_of(payout: Payout) -> Account:
    return ledger.in_transit(payout.user_id, payout.currency)


def clearing_of(payout: Payout) -> Account:
    return ledger.clearing(payout.provider, payout.currency)


def give_back_payment(payout: Payout) -> None:
    give_back(
        person_id=payout.user_id,
        currency=payout.currency,
        amount_minor=payout.amount_minor,
        kinds=PAYMENT,
        at=payout.created_at,
    )


def give_back_balance(payout: Payout) -> None:
    if payout.source == Source.PAYABLE:
        give_back(
            person_id=payout.user_id,
            currency=payout.currency,
            amount_minor=payout.amount_minor,
            kinds=(LimitKind.BALANCE,),
            at=timezone.now(),
        )


def use_balance(payout: Payout) -> None:
    """Uses the limit again for money that came back. It is here already, so a full limit refuses nothing."""
    if payout.source == Source.PAYABLE:
        use_if_possible(
            person_id=payout.user_id,
            currency=payout.currency,
            amount_minor=payout.amount_minor,
            kinds=(LimitKind.BALANCE,),
        )
