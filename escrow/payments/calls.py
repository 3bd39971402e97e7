"""Makes requests to providers, outside any transaction: each is measured, and becomes a row when recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from core.outcomes import Rejected, RetryLater
from core.outgoing import redact
from core.sqlstates import is_outage
from escrow import metrics
from escrow.models.payments import Collection, Payout, ProviderCall
from escrow.payments.base import Checkout, CollectionSeen, NotFound, PayoutSeen, Provider, Unknown
from observability.sentry import capture_exception

LONGEST_TEXT = 300
Outcome = Checkout | CollectionSeen | PayoutSeen | NotFound | RetryLater | Rejected | Unknown
T = TypeVar("T", bound=Outcome)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Made(Generic[T]):
    """A request that was made. `text` is without secrets."""

    operation: str
    outcome: T
    text: str
    seconds: float

    def row(self, provider: str, **about: Payout | Collection) -> ProviderCall:
        """Returns the row, not yet saved. `about`: the payout or collection."""
        return ProviderCall(
            provider=provider,
            operation=self.operation,
            outcome=meaning(self.outcome),
            text=self.text,
            seconds=self.seconds,
            **about,
        )


def make(
    provider: Provider, operation: str, request: Callable[[], T], *, after_a_fault: Callable[[str], T]
) -> Made[T]:
    """Makes one request. A fault of ours is recorded and must not stop the others.

    `after_a_fault`: what a request means that raised an error of the program: for one that moves money,
    unknown.
    """
    began = time.monotonic()
    try:
        outcome = request()
    except Exception as problem:
        if is_outage(problem):
            raise  # nothing can be recorded either; the row is claimed again after its lease
        log.exception("payment_request_failed", provider=provider.name, operation=operation)
        capture_exception(problem, context={"provider": provider.name, "operation": operation})
        outcome = after_a_fault(f"Internal error: {type(problem).__name__}.")
    seconds = time.monotonic() - began
    metrics.record_payment_request(provider.name, operation, meaning(outcome), seconds)
    return Made(operation, outcome, text_of(outcome, provider), seconds)


def text_of(outcome: Outcome, provider: Provider) -> str:
    match outcome:
        case PayoutSeen(text=text) | CollectionSeen(text=text):
            said = text
        case Checkout():
            said = ""
        case (
            NotFound(reason=reason)
            | RetryLater(reason=reason)
            | Rejected(reason=reason)
            | Unknown(reason=reason)
        ):
            said = reason
    return redact(said, provider.secrets())[:LONGEST_TEXT]


def meaning(outcome: Outcome) -> str:
    """Returns one of escrow.metrics.PAYMENT_OUTCOMES."""
    match outcome:
        case Checkout() | PayoutSeen() | CollectionSeen():
            return "ok"
        case NotFound():
            return "not_found"
        case RetryLater():
            return "retry"
        case Rejected():
            return "rejected"
        case Unknown():
            return "unknown"
