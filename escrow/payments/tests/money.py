"""What tests of payouts need: users with money, payouts, workers that find everything due."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any, NamedTuple

from django.db.models import F
from django.utils import timezone

from accounts.models import User
from escrow import ledger
from escrow.ledger import Leg, TransferKind
from escrow.models import Contradiction, PaymentEvent, Payout, Source
from escrow.payments import work
from escrow.payments.base import Destination
from escrow.payments.payouts import request_payout
from kyc.limits.tests.amounts import CURRENCY, limit
from kyc.models import LimitRule

numbers = count()
ACCOUNT = Destination(bank_code="058", account_number="0123456789", account_name="Ada Obi")
PROVIDER = "sandbox"


class Money(NamedTuple):
    """Of a user, in minor units. `out`: what has left at the provider."""

    payable: int
    transit: int
    out: int


def make_user() -> User:
    return User.objects.create_user(f"payee-{next(numbers)}@example.com")


def rich(amount_minor: int = 10_000) -> User:
    """A user who has earned that much, and who may move it."""
    if not LimitRule.objects.filter(currency=CURRENCY).exists():
        limit(10**12)
    user = make_user()
    legs = (
        Leg(ledger.clearing("bank", CURRENCY), -amount_minor),
        Leg(ledger.payable(user.pk, CURRENCY), amount_minor),
    )
    ledger.post(kind=TransferKind.CORRECTION, key=f"earned:{user.pk}", legs=legs)
    return user


def asked(user: User, **changes: Any) -> Payout:
    known: dict[str, Any] = {
        "source": Source.PAYABLE,
        "amount_minor": 4_000,
        "currency": CURRENCY,
        "destination": ACCOUNT,
    }
    return request_payout(user=user, **known | changes)


def money_of(user: User) -> Money:
    out = ledger.balance_of(ledger.clearing(PROVIDER, CURRENCY))
    payable = ledger.balance_of(ledger.payable(user.pk, CURRENCY))
    return Money(payable, ledger.balance_of(ledger.in_transit(user.pk, CURRENCY)), out)


def make_due() -> None:
    """Lets an hour pass for everything that waits."""
    now = timezone.now()
    earlier = timedelta(hours=1)
    Payout.objects.filter(next_attempt_at__isnull=False).update(
        next_attempt_at=now,
        first_sent_at=F("first_sent_at") - earlier,
        last_sent_at=F("last_sent_at") - earlier,
    )
    Payout.objects.filter(lease_until__isnull=False).update(lease_until=now - earlier)
    PaymentEvent.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=now)


def run() -> None:
    """A worker that finds everything due that waits."""
    make_due()
    work.run_payouts()


def state_of(payout: Payout) -> str:
    payout.refresh_from_db()
    return payout.state


def contradictions(payout: Payout) -> list[tuple[str, str, str]]:
    rows = Contradiction.objects.filter(payout=payout).order_by("id")
    return list(rows.values_list("kind", "booked", "said"))
