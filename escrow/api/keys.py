"""Escrow's writes happen once for each Idempotency-Key (core/api/once.py)."""

from __future__ import annotations

from django.conf import settings

from accounts import erasure
from accounts.models import User
from core.api import keys
from core.api.once import OncePerKey
from escrow import metrics
from escrow.models import IdempotencyKey


class Once(OncePerKey):
    def record(self, outcome: str) -> None:
        metrics.record_idempotency_key(outcome)


once = Once(IdempotencyKey, hours=lambda: settings.IDEMPOTENCY_KEY_HOURS)


def register() -> None:
    erasure.register(name="escrow keys", erase=forget_person)


def forget_old() -> int:
    """Forgets the answers whose time is over, and returns how many."""
    return keys.forget_old(IdempotencyKey)


def forget_person(person: User) -> None:
    """Deletes the keys of an account that is erased: it sends no more requests."""
    IdempotencyKey.objects.filter(principal_id=person.pk).delete()
