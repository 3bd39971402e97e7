"""What a vendor's answer means for the work that was handed to it. A client returns one of these.

How an app uses it (a request whose answer got lost raises core.outgoing.OutcomeUnknown instead):

    match provider.pay(payout):
        case Accepted(reference=reference): ...    # or Delivered(), where a vendor gives no reference
        case RetryLater(after=after, reason=reason): ...
        case Rejected(reason=reason): ...
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delivered:
    """The vendor has it, and there is nothing more to learn."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The vendor has it, since now or since an earlier attempt, and calls it `reference`; "" for nothing."""

    reference: str


@dataclass(frozen=True, slots=True)
class RetryLater:
    """It may work later. `after`: the seconds that the vendor asked for, None when it asked for nothing."""

    after: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The vendor will never take it: another attempt would end the same."""

    reason: str
