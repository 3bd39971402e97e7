"""Errors of payments. Messages contain no bank account."""

from __future__ import annotations

from core.errors import AmaniError, Conflict, Forbidden, Invalid, NotFound, Unavailable


class PaymentError(AmaniError):
    """Base of the errors of payments."""

    code = "payment_error"


class PaymentsOff(PaymentError, Unavailable):
    code = "payments_off"

    def __init__(self) -> None:
        super().__init__("No payment provider is set up, so no money can be moved. Try again later.")


class WrongAmount(PaymentError, Invalid):
    code = "wrong_amount"

    def __init__(self) -> None:
        message = "The amount must be a whole number above zero, in the smallest unit of the currency."
        super().__init__(message, fields={"amount": [message]})


class WrongDestination(PaymentError, Invalid):
    code = "wrong_destination"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, fields={field: [message]})


class PayoutNotFound(PaymentError, NotFound):
    """There is none, or it is another person's."""

    code = "payout_not_found"

    def __init__(self) -> None:
        super().__init__("The payout does not exist.")


class PayoutKeyUsed(PaymentError, Conflict):
    """The key was used for another payout, or its payout has ended without paying."""

    code = "payout_key_used"

    def __init__(self, why: str) -> None:
        super().__init__(f"This key was used before: {why} Use a new key for a new payout.")


class CannotReprocess(PaymentError, Conflict):
    code = "cannot_reprocess"


class MayNotReprocess(PaymentError, Forbidden):
    code = "not_allowed"

    def __init__(self) -> None:
        super().__init__("You may not do this.")


class ReprocessingNeedsReason(PaymentError, Invalid):
    code = "reason_missing"

    def __init__(self) -> None:
        super().__init__("Processing again needs a reason.", fields={"reason": ["Write why."]})


class CollectionNotFound(PaymentError, NotFound):
    """There is none, or it is another person's."""

    code = "collection_not_found"

    def __init__(self) -> None:
        super().__init__("The payment does not exist.")


class CollectionOpen(PaymentError, Conflict):
    code = "collection_open"

    def __init__(self) -> None:
        super().__init__("A payment of another amount is open for this escrow. Pay it, or wait for its end.")


class NotAwaitingFunds(PaymentError, Conflict):
    code = "not_awaiting_funds"

    def __init__(self, state: str) -> None:
        super().__init__(f"This escrow is {state.replace('_', ' ')}: it does not wait for money.")


class PayoutEnded(PaymentError, Conflict):
    code = "payout_ended"

    def __init__(self) -> None:
        super().__init__("This payout has ended: there is nothing left to ask.")


class MayNotClose(PaymentError, Forbidden):
    code = "not_allowed"

    def __init__(self) -> None:
        super().__init__("Only an approver may close what a provider contradicts.")


class OwnPayment(PaymentError, Forbidden):
    """The money is the operator's own, or of an escrow of which they are a party."""

    code = "own_payment"

    def __init__(self) -> None:
        super().__init__("This is about your own money: another operator has to do this.")


class ClosingNeedsReason(PaymentError, Invalid):
    code = "reason_missing"

    def __init__(self) -> None:
        super().__init__("Write what you found and what was done.", fields={"reason": ["Write why."]})


class ContradictionClosed(PaymentError, Conflict):
    code = "contradiction_closed"

    def __init__(self) -> None:
        super().__init__("This contradiction was closed already. Look at who did it, and why.")
