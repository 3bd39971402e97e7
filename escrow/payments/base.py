"""The interface of a payment provider: it collects from buyers, pays out, says what became of a reference.

A provider must not use the database, loop, sleep or log: escrow/payments/work.py does that for all of them,
outside any transaction. Bank details are hidden in repr.

A request whose answer is missing or makes no sense is Unknown: the provider may have acted on it. Only what
certainly did not happen is Rejected, or RetryLater (nothing was sent, or the provider says it did nothing).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from django.conf import settings

from core.outcomes import Rejected, RetryLater


class CollectionStatus(StrEnum):
    """What a provider says about a collection."""

    OPEN = "open"  # the buyer may still pay
    RECEIVED = "received"
    UNPAID = "unpaid"  # it ended without money
    REVERSED = "reversed"  # received, and taken back since
    UNKNOWN = "unknown"  # a status that its documentation does not name


class PayoutStatus(StrEnum):
    """What a provider says about a payout."""

    SENT = "sent"  # it has it, and may still fail
    SETTLED = "settled"
    FAILED = "failed"  # conclusive: the money did not leave
    REVERSED = "reversed"  # the money came back, also after SETTLED
    UNKNOWN = "unknown"  # a status that its documentation does not name


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """What a provider gets to collect from a buyer."""

    reference: str  # ours; two requests with one reference must not collect twice
    amount_minor: int
    currency: str
    title: str
    email: str = field(repr=False)
    webhook_url: str = ""
    return_url: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """A bank account that money is paid to."""

    bank_code: str = field(repr=False)
    account_number: str = field(repr=False)
    account_name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PayoutFacts:
    """What a provider gets to pay out."""

    reference: str  # ours, and the only one that this payout ever has
    amount_minor: int
    currency: str
    destination: Destination
    reason: str = ""
    webhook_url: str = ""


@dataclass(frozen=True, slots=True)
class Checkout:
    """The provider has the collection; the buyer pays at `url`."""

    url: str
    provider_reference: str = ""


@dataclass(frozen=True, slots=True)
class CollectionSeen:
    """The provider's current word on a collection. `amount_minor`: what the buyer paid, in `currency`."""

    status: CollectionStatus
    reference: str
    amount_minor: int
    currency: str
    provider_reference: str = ""
    text: str = ""  # the provider's own status
    fee_minor: int | None = None  # what the provider keeps of it, in `currency`; None while it does not say


@dataclass(frozen=True, slots=True)
class PayoutSeen:
    """The provider's current word on a payout."""

    status: PayoutStatus
    reference: str
    amount_minor: int
    currency: str
    provider_reference: str = ""
    text: str = ""  # the provider's own status


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request was sent, or a part of it, and its outcome is not known: ask with the same reference."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """The provider says that it has nothing with this reference, at this moment."""

    reason: str


@dataclass(frozen=True, slots=True)
class Callback:
    """A webhook with a valid signature: its id, its kind, and our reference in it ("" for none)."""

    event_id: str
    kind: str
    reference: str


class Malformed(Exception):
    """The body is not a webhook of this provider. The message does not quote the body."""


Collecting = Checkout | RetryLater | Rejected | Unknown
Paying = PayoutSeen | RetryLater | Rejected | Unknown
CollectionAnswer = CollectionSeen | NotFound | RetryLater
PayoutAnswer = PayoutSeen | NotFound | RetryLater


class Provider(ABC):
    """One provider. Subclasses read their address and keys from Django's settings when called."""

    name: ClassVar[str]  # in settings, metrics, rows and the webhook's address
    label: ClassVar[str]  # for pages and messages
    variables: ClassVar[tuple[str, ...]] = ()  # the settings that it requires
    # Whether it pays once however often it gets one reference. Where it does not, a payout that it says it
    # does not know stays unknown, because a late first request could still arrive.
    pays_a_reference_once: ClassVar[bool] = False

    def is_configured(self) -> bool:
        """Returns whether the provider's settings are set."""
        return all(getattr(settings, name) for name in self.variables)

    @abstractmethod
    def collect(self, facts: CollectionFacts) -> Collecting:
        """Begins a collection. Must be idempotent for one reference, because it is repeated after a crash."""

    @abstractmethod
    def ask_collection(self, reference: str) -> CollectionAnswer:
        """Asks what became of a collection. Webhooks only trigger this request."""

    @abstractmethod
    def pay(self, facts: PayoutFacts) -> Paying:
        """Sends money. RetryLater and Rejected only if no money can have left by this request."""

    @abstractmethod
    def ask_payout(self, reference: str) -> PayoutAnswer:
        """Asks what became of a payout: the only way out of Unknown."""

    @abstractmethod
    def verify(self, body: bytes, headers: Mapping[str, str]) -> Callback | None:
        """Returns the webhook in `body`, or None if its signature is wrong. Raises Malformed.

        The signature is over the bytes as they arrived.
        """

    def secrets(self) -> tuple[str, ...]:
        """Returns texts that must be removed from the provider's texts before they are stored."""
        return ()
