"""The snapshot of what waits, and that a stop refuses releases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from escrow import escrows, snapshot_metrics, stops
from escrow.escrows.tests import deals
from escrow.models import Escrow, Milestone, MoneyStop
from escrow.snapshot import OPEN_BY_STATE, record_waiting, take_snapshot
from escrow.states import MILESTONE_ENDS, MilestoneState, State
from observability.metrics import REGISTRY

pytestmark = pytest.mark.django_db


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def count(thing: str, state: str) -> float | None:
    return sample("amani_escrow_open", object=thing, state=state)


def oldest(thing: str, state: str) -> float | None:
    return sample("amani_escrow_oldest_seconds", object=thing, state=state)


def test_what_has_not_ended_is_counted_by_state_with_the_age_of_the_oldest() -> None:
    now = timezone.now()
    drafts = [deals.drafted(), deals.drafted()]
    deals.escrow_in(State.COMPLETED)
    deals.submitted()
    Escrow.objects.filter(pk=drafts[0].escrow.pk).update(state_since=now - timedelta(hours=3))
    record_waiting(now)
    assert {state: count("escrow", state) for state in ("draft", "funded", "in_progress", "proposed")} == {
        "draft": 2,
        "funded": 0,
        "in_progress": 1,
        "proposed": 0,
    }
    assert oldest("escrow", "draft") == pytest.approx(3 * 3600)
    assert oldest("escrow", "proposed") == 0
    assert {state: count("milestone", state) for state in ("pending", "funded", "submitted")} == {
        "pending": 0,
        "funded": 1,
        "submitted": 1,
    }
    assert count("escrow", "completed") is None  # what has ended is not shown


def test_the_age_begins_anew_with_each_state_and_not_with_other_changes() -> None:
    deal = deals.funded()
    past = timezone.now() - timedelta(days=1)
    Escrow.objects.update(state_since=past)
    Milestone.objects.update(state_since=past)
    escrows.submit(actor=deal.seller, public_id=deal.first.public_id)
    deal.escrow.refresh_from_db()
    first, second = deal.milestones
    assert (deal.escrow.state, deal.escrow.state_since > past) == (State.IN_PROGRESS, True)
    assert (first.state_since > past, second.state_since > past) == (True, False)
    Milestone.objects.update(state_since=past)
    escrows.release_partially(actor=deal.buyer, public_id=second.public_id, amount_minor=100)
    assert [milestone.state_since > past for milestone in deal.milestones] == [False, False]


def test_late_releases_are_counted_and_frozen_ones_are_not() -> None:
    late, frozen = deals.submitted(), deals.submitted()
    now = timezone.now()
    Milestone.objects.filter(auto_release_at__isnull=False).update(auto_release_at=now - timedelta(minutes=7))
    escrows.freeze(escrow_id=frozen.escrow.pk, operator=deals.make_freezer(), reason="A complaint.")
    record_waiting(now)
    assert sample("amani_escrow_auto_release_overdue") == 1
    assert sample("amani_escrow_auto_release_late_seconds") == pytest.approx(420)
    assert escrows.auto_release_due() == 1
    late.escrow.refresh_from_db()
    record_waiting(now)
    assert sample("amani_escrow_auto_release_overdue") == 0
    assert sample("amani_escrow_auto_release_late_seconds") == 0


def test_every_state_that_does_not_end_has_its_gauges() -> None:
    known = snapshot_metrics.OPEN_STATES
    assert set(known["milestone"]) == set(MilestoneState.values) - {end.value for end in MILESTONE_ENDS}
    assert set(known["escrow"]) | {"completed", "cancelled", "refunded", "closed_mixed"} == set(State.values)


def test_states_are_counted_from_an_index() -> None:
    deals.funded()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {OPEN_BY_STATE}", {**snapshot_metrics.OPEN_STATES})
        plan = "\n".join(line for (line,) in cursor)
    for thing in snapshot_metrics.OPEN_STATES:
        assert f"Index Only Scan using {thing}_open_by_state" in plan


# --- A stop ---


def test_while_the_money_is_stopped_nothing_is_released() -> None:
    deal = deals.submitted()
    stops.open_for({"drift": "account 7"})
    before = deals.books(deal)
    second = deal.milestones[1]
    with pytest.raises(stops.MoneyStopped):
        escrows.approve(actor=deal.buyer, public_id=deal.first.public_id)
    with pytest.raises(stops.MoneyStopped):
        escrows.release_partially(actor=deal.buyer, public_id=second.public_id, amount_minor=100)
    assert deals.books(deal) == before


def test_automatic_releases_wait_for_the_end_of_the_stop_and_are_seen_as_late() -> None:
    deal = deals.submitted()
    deals.due(deal)
    stops.open_for({"imbalance": "NGN 0.01"})
    before = deals.books(deal)
    assert escrows.auto_release_due() == 0
    assert deals.books(deal) == before
    take_snapshot()
    assert sample("amani_escrow_auto_release_overdue") == 1
    stop = MoneyStop.objects.get()
    stops.clear(stop_id=stop.pk, actor=deals.make_freezer(), reason="It was a test's.")
    assert escrows.auto_release_due() == 1
    assert deal.first.state == MilestoneState.RELEASED


def test_a_refund_and_a_payment_go_on_while_the_money_is_stopped() -> None:
    deal = deals.submitted()
    stops.open_for({"drift": "account 7"})
    escrows.refund(actor=deal.seller, public_id=deal.first.public_id)
    deals.funded()
    assert deal.first.state == MilestoneState.REFUNDED
