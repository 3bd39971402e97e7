"""Stops of the money: what opens one, what it refuses, and who clears it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, IntegrityError, transaction

from accounts.models import User
from escrow import stops
from escrow.models import MoneyStop

pytestmark = pytest.mark.django_db

CAUSES = {"drift": "account 7"}


def operator(role: str) -> User:
    user = User.objects.create_user(f"{role}@example.com", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return User.objects.get(pk=user.pk)


def opened() -> MoneyStop:
    stops.open_for(CAUSES)
    return MoneyStop.objects.get(cleared_at=None)


def test_without_a_stop_nothing_is_refused() -> None:
    stops.refuse_while_stopped()


def test_a_stop_refuses_until_it_is_cleared() -> None:
    stop = opened()
    with pytest.raises(stops.MoneyStopped, match="Nothing was changed") as refusal:
        stops.refuse_while_stopped()
    assert (refusal.value.code, refusal.value.cause) == ("money_stopped", "drift")
    stops.clear(stop_id=stop.pk, actor=operator("approver"), reason="A test row.")
    stops.refuse_while_stopped()


def test_one_cause_has_one_stop_and_each_cause_its_own() -> None:
    stops.open_for({"drift": "first"})
    stops.open_for({"drift": "second", "imbalance": "NGN 0.01"})
    assert list(MoneyStop.objects.order_by("id").values_list("cause", "detail")) == [
        ("drift", "first"),
        ("imbalance", "NGN 0.01"),
    ]
    assert stops.open_causes() == ["drift", "imbalance"]


def test_money_moves_only_when_every_stop_is_cleared() -> None:
    stops.open_for({"drift": "x", "negative": "y"})
    approver = operator("approver")
    for stop, rest in zip(MoneyStop.objects.order_by("id"), (["negative"], []), strict=True):
        stops.clear(stop_id=stop.pk, actor=approver, reason="Looked at it.")
        assert stops.open_causes() == rest
    stops.refuse_while_stopped()


@pytest.mark.parametrize("role", ["viewer", "responder", "finance", "kyc reviewer"])
def test_clearing_needs_the_permission(role: str) -> None:
    stop = opened()
    with pytest.raises(stops.MayNotClear):
        stops.clear(stop_id=stop.pk, actor=operator(role), reason="Please.")
    stop.refresh_from_db()
    assert (stop.cleared_at, stop.cleared_by_id, stop.cleared_reason) == (None, None, "")


@pytest.mark.parametrize("reason", ["", " \n"])
def test_clearing_needs_a_reason(reason: str) -> None:
    stop = opened()
    with pytest.raises(stops.ClearingNeedsReason) as refusal:
        stops.clear(stop_id=stop.pk, actor=operator("approver"), reason=reason)
    assert refusal.value.fields == {"reason": ["Write why."]}
    assert stops.open_causes() == ["drift"]


def test_a_cleared_stop_is_kept_with_who_and_why_and_is_not_cleared_again() -> None:
    stop, approver = opened(), operator("approver")
    stops.clear(stop_id=stop.pk, actor=approver, reason=" The balance was a test's. ")
    with pytest.raises(stops.StopAlreadyCleared):
        stops.clear(stop_id=stop.pk, actor=approver, reason="Again.")
    stop.refresh_from_db()
    assert stop.cleared_at is not None
    assert (stop.cleared_by, stop.cleared_reason) == (approver, "The balance was a test's.")


def test_a_cause_that_persists_stops_the_money_again() -> None:
    stop = opened()
    stops.clear(stop_id=stop.pk, actor=operator("approver"), reason="It should be right.")
    again = opened()
    assert again.pk != stop.pk
    assert MoneyStop.objects.count() == 2


@pytest.mark.parametrize(
    "change",
    [
        {"detail": "nothing"},
        {"cause": "negative"},
        {"cleared_reason": "No operator did this."},
    ],
)
def test_the_database_keeps_what_was_seen_and_lets_no_stop_be_cleared_without_an_operator(
    change: dict[str, str],
) -> None:
    stop = opened()
    with pytest.raises(DatabaseError), transaction.atomic():
        MoneyStop.objects.filter(pk=stop.pk).update(**change)
    with pytest.raises(DatabaseError), transaction.atomic():
        stop.delete()
    assert list(MoneyStop.objects.values_list("cause", "detail", "cleared_reason")) == [
        ("drift", "account 7", "")
    ]


def test_the_database_allows_one_open_stop_for_each_cause_and_no_change_of_a_cleared_one() -> None:
    stop = opened()
    with pytest.raises(IntegrityError), transaction.atomic():
        MoneyStop.objects.create(cause="drift", detail="a second one")
    stops.clear(stop_id=stop.pk, actor=operator("approver"), reason="Right again.")
    with pytest.raises(DatabaseError), transaction.atomic():
        MoneyStop.objects.filter(pk=stop.pk).update(cleared_reason="Another reason.")
    stop.refresh_from_db()
    assert stop.cleared_reason == "Right again."
