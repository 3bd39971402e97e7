"""Tests by direct SQL that the database enforces the rules of escrows, milestones and terms."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from escrow.escrows.tests.deals import Deal, agreed, escrow_in, funded, make_party, milestone_in, proposed
from escrow.models import Escrow, EscrowTerms, Milestone
from escrow.states import MilestoneState, State

pytestmark = pytest.mark.django_db


def refused(sql: str, parameters: Any, match: str) -> None:
    with pytest.raises(DatabaseError, match=match), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def names(deal: Deal) -> dict[str, int]:
    return {"id": deal.escrow.pk, "buyer": deal.buyer.pk, "other": make_party().pk}


@pytest.mark.parametrize(
    ("state", "change", "match"),
    [
        (State.PROPOSED, "seller_id = %(other)s", "Cannot update"),
        (State.DRAFT, "seller_id = buyer_id", "a_buyer_is_not_the_seller"),
        (State.DRAFT, "creator_id = %(other)s", "Cannot update"),
        (State.DRAFT, "currency = 'USD'", "Cannot update"),
        (State.DRAFT, "public_id = gen_random_uuid()", "Cannot update"),
        (State.DRAFT, "expires_at = NULL", "what_waits_for_a_party_expires"),
        (State.DRAFT, "agreed_at = now()", "Both parties have to agree"),
        (State.PROPOSED, "state = 'agreed', agreed_at = now()", "Both parties have to agree"),
        (State.PROPOSED, "state = 'agreed'", "what_goes_on_is_agreed_by_two_parties"),
        (State.PROPOSED, "terms_id = NULL", "a_proposal_has_terms"),
        (State.AWAITING_FUNDS, "terms_id = NULL", "Cannot update"),
        (State.AWAITING_FUNDS, "due_minor = 1", "Cannot update"),
        (State.AWAITING_FUNDS, "agreed_at = NULL", "Cannot update"),
        (State.AWAITING_FUNDS, "state = 'funded'", "a_funded_escrow_got_all_that_is_due"),
        (State.AWAITING_FUNDS, "funded_minor = due_minor + 1", "an_escrow_holds_at_most_what_is_due"),
        (State.AWAITING_FUNDS, "state = 'cancelled'", "an_ended_escrow_says_when"),
        (State.AWAITING_FUNDS, "buyer_id = NULL", "Cannot update"),
        (State.FUNDED, "funded_minor = 0", "Cannot update"),
        (State.FUNDED, "cancel_asked_by_id = %(other)s", "only_a_party_asks_to_cancel"),
        (State.FUNDED, "closed_at = now()", "an_ended_escrow_says_when"),
        (State.FUNDED, "state = 'nonsense'", "Invalid transition"),
    ],
)
def test_the_database_refuses_an_escrow_that_breaks_a_rule(state: State, change: str, match: str) -> None:
    deal = escrow_in(state)
    refused(f"UPDATE escrow_escrow SET {change} WHERE id = %(id)s", names(deal), match)  # noqa: S608  (ours)


@pytest.mark.parametrize(
    ("state", "change", "match"),
    [
        (MilestoneState.FUNDED, "amount_minor = 1", "Cannot update"),
        (MilestoneState.FUNDED, "buyer_fee_minor = 0", "Cannot update"),
        (MilestoneState.FUNDED, "title = 'Other'", "Cannot update"),
        (MilestoneState.FUNDED, "released_minor = amount_minor + 1", "a_milestone_gives_at_most_its_amount"),
        (
            MilestoneState.FUNDED,
            "released_minor = amount_minor, refunded_minor = 1",
            "a_milestone_gives_at_most_its_amount",
        ),
        (MilestoneState.FUNDED, "released_minor = -1", "Cannot update"),
        (MilestoneState.FUNDED, "state = 'submitted'", "only_what_waits_for_its_release_has_a_time"),
        (MilestoneState.FUNDED, "auto_release_at = now()", "only_what_waits_for_its_release_has_a_time"),
        (
            MilestoneState.FUNDED,
            "state = 'refunded', closed_at = now()",
            "a_refunded_milestone_has_nothing_left",
        ),
        (
            MilestoneState.RELEASE_REQUESTED,
            "state = 'released', closed_at = now(), auto_release_at = NULL",
            "a_released_milestone_gave_its_whole_amount",
        ),
        (MilestoneState.PENDING, "released_minor = 1", "nothing_leaves_before_the_money_is_there"),
        (MilestoneState.RELEASED, "released_minor = 0", "Cannot update"),
        (MilestoneState.RELEASED, "closed_at = NULL", "an_ended_milestone_says_when"),
    ],
)
def test_the_database_refuses_a_milestone_that_breaks_a_rule(
    state: MilestoneState, change: str, match: str
) -> None:
    milestone = milestone_in(state).first
    refused(f"UPDATE escrow_milestone SET {change} WHERE id = %s", [milestone.pk], match)  # noqa: S608  (ours)


@pytest.mark.parametrize(
    "table",
    [
        "escrow_escrowterms",
        "escrow_escrowagreement",
        "escrow_escrowevent",
        "escrow_milestoneevent",
        "escrow_feerule",
    ],
)
def test_history_can_neither_be_changed_nor_deleted(table: str) -> None:
    funded()
    column = {
        "escrow_escrowagreement": "request_id",
        "escrow_feerule": "reason",
        "escrow_escrowterms": "hash",
    }
    name = column.get(table, "provider")
    refused(f"UPDATE {table} SET {name} = 'x'", [], "Cannot update")  # noqa: S608  (ours)
    refused(f"DELETE FROM {table}", [], "Cannot (update or )?delete")  # noqa: S608  (ours)


@pytest.mark.parametrize("table", ["escrow_escrow", "escrow_milestone"])
def test_escrows_and_milestones_stay(table: str) -> None:
    agreed()
    refused(f"DELETE FROM {table}", [], "Cannot delete")  # noqa: S608  (ours)


def test_the_agreement_of_one_party_to_terms_of_another_escrow_is_none() -> None:
    """Neither one party's agreement alone, nor both agreements to another escrow's terms are enough."""
    deal, other = proposed(), agreed()
    assert other.escrow.terms_id is not None
    sql = "UPDATE escrow_escrow SET state = 'agreed', agreed_at = now(), terms_id = %s WHERE id = %s"
    refused(sql, [deal.escrow.terms_id, deal.escrow.pk], "Both parties have to agree")
    refused(sql, [other.escrow.terms_id, deal.escrow.pk], "Both parties have to agree")
    assert Escrow.objects.get(pk=deal.escrow.pk).state == State.PROPOSED


def test_no_terms_follow_after_both_agreed() -> None:
    deal = agreed()
    with pytest.raises(DatabaseError, match="are agreed"), transaction.atomic():
        EscrowTerms.objects.create(
            escrow=deal.escrow, number=2, proposed_by=deal.buyer, document={}, hash="x"
        )
    assert EscrowTerms.objects.filter(escrow=deal.escrow).count() == 1


def test_a_milestone_has_its_own_place_and_an_amount() -> None:
    deal = agreed()
    for fields, match in (
        ({"seq": 1, "amount_minor": 5}, "one_milestone_per_place"),
        ({"seq": 3, "amount_minor": 0}, "a_milestone_is_worth_something"),
        ({"seq": 3, "amount_minor": 5, "seller_fee_minor": 6}, "a_sellers_fee_is_at_most_the_amount"),
    ):
        with pytest.raises(DatabaseError, match=match), transaction.atomic():
            Milestone.objects.create(escrow=deal.escrow, title="x", created_at=timezone.now(), **fields)
    assert len(deal.milestones) == 2
