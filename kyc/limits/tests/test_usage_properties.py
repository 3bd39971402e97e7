"""Tests random sequences of uses, returns and limit changes against a model."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from django.db import transaction
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from kyc.limits import LimitExceeded, give_back, limits_of, use
from kyc.limits.tests.amounts import CURRENCY, limit
from kyc.limits.windows import COUNTED, window_start
from kyc.models import LimitKind, LimitUsage
from kyc.tests.people import make_person

FIRST_DAY = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Move(NamedTuple):
    is_use: bool
    amount: int
    day: int
    kinds: frozenset[LimitKind]


class NewLimit(NamedTuple):
    amount: int
    kind: LimitKind


moves = st.builds(
    Move,
    is_use=st.booleans(),
    amount=st.integers(1, 60),
    day=st.integers(0, 3),
    kinds=st.frozensets(st.sampled_from(LimitKind), min_size=1),
)
new_limits = st.builds(NewLimit, amount=st.integers(0, 120), kind=st.sampled_from(LimitKind))


class Model:
    """What should happen, without a database."""

    def __init__(self) -> None:
        self.caps = dict.fromkeys(LimitKind, 100)
        self.used: Counter[tuple[str, object]] = Counter()

    def use(self, move: Move) -> bool:
        at = day(move.day)
        windows = {kind: (kind.value, window_start(kind, at)) for kind in move.kinds}
        if any(self.before(kind, windows[kind]) + move.amount > self.caps[kind] for kind in move.kinds):
            return False
        self.used.update({key: move.amount for kind, key in windows.items() if kind in COUNTED})
        return True

    def before(self, kind: LimitKind, key: tuple[str, object]) -> int:
        return 0 if kind == LimitKind.SINGLE else self.used[key]

    def give_back(self, move: Move) -> None:
        for kind in move.kinds:
            key = (kind.value, window_start(kind, day(move.day)))
            if key in self.used:
                self.used[key] = max(self.used[key] - move.amount, 0)


def day(number: int) -> datetime:
    return FIRST_DAY + timedelta(days=number)


def did_use(person: User, move: Move) -> bool:
    try:
        with transaction.atomic():
            use(
                person_id=person.pk,
                currency=CURRENCY,
                amount_minor=move.amount,
                kinds=move.kinds,
                at=day(move.day),
            )
    except LimitExceeded:
        return False
    return True


@pytest.mark.django_db
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.one_of(moves, moves, moves, new_limits), max_size=12))
def test_any_sequence_stays_within_the_limits_and_equals_the_model(steps: list[Move | NewLimit]) -> None:
    with transaction.atomic():
        person, model = make_person(), Model()
        limit(100, since=FIRST_DAY - timedelta(days=30))
        for number, step in enumerate(steps):
            if isinstance(step, NewLimit):
                since = FIRST_DAY - timedelta(days=20) + timedelta(seconds=number)
                limit(step.amount, step.kind, since=since)
                model.caps[step.kind] = step.amount
            elif step.is_use:
                assert did_use(person, step) == model.use(step)
            else:
                give_back(
                    person_id=person.pk,
                    currency=CURRENCY,
                    amount_minor=step.amount,
                    kinds=step.kinds,
                    at=day(step.day),
                )
                model.give_back(step)
            rows = LimitUsage.objects.filter(person=person)
            stored = rows.filter(used_minor__gt=0).values_list("kind", "window_start", "used_minor")
            assert {(kind, start): used for kind, start, used in stored} == +model.used
            assert not rows.exclude(used_minor__gte=0, used_minor__lte=F("cap_minor")).exists()
        shown = {
            row.kind: row.used_minor
            for row in limits_of(person_id=person.pk, at=day(2))
            if row.currency == CURRENCY
        }
        assert {kind: shown[kind] for kind in COUNTED} == {
            kind: model.used[kind.value, window_start(kind, day(2))] for kind in COUNTED
        }
        transaction.set_rollback(True)
