"""The pages of escrows and of stops: what they say, what an approver may do there, how much they read."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from core.tests.plans import statements_of
from escrow import escrows, stops
from escrow.admin.tests.operators import said, signed_in, words
from escrow.escrows.tests import deals
from escrow.models import Escrow, LedgerAccount, LedgerTransfer, MoneyStop
from escrow.states import FREEZABLE, State

pytestmark = pytest.mark.django_db

ESCROWS, STOPS = "/admin/escrow/escrow/", "/admin/escrow/moneystop/"


def page_of(escrow: Escrow) -> str:
    return f"{ESCROWS}{escrow.pk}/change/"


def action(escrow: Escrow, name: str) -> str:
    return f"{ESCROWS}{escrow.pk}/{name}/"


@pytest.fixture
def finance() -> Client:
    return signed_in("finance")


@pytest.fixture
def approver() -> Client:
    return signed_in("approver")


# --- What the pages say ---


def test_the_list_says_state_parties_and_money_without_names(finance: Client) -> None:
    deal = deals.funded()
    text = words(finance, ESCROWS)
    assert f"Escrow {deal.escrow.pk} A website Funded" in text
    assert f"user {deal.buyer.pk} → user {deal.seller.pk}" in text
    assert "arrived" in text
    assert deal.buyer.email not in text


def test_the_page_has_parties_terms_milestones_money_and_timeline(finance: Client) -> None:
    deal = deals.submitted()
    escrows.approve(actor=deal.buyer, public_id=deal.first.public_id)
    text = words(finance, page_of(deal.escrow))
    for part in (
        "A website",
        deal.buyer.email,
        deal.seller.email,
        deal.terms_hash,
        "As discussed.",
        "1. Part 1 Released NGN 60,000",
        "2. Part 2 Funded NGN 40,000",
        "Released NGN 60,000 Refunded NGN 0",
        "Milestone 1: released NGN 60,000 by the buyer",
        "Milestone 1: submitted by the seller",
        "Agreed by the seller",
        f"Owed to seller {deal.seller.pk} +NGN 60,000",
    ):
        assert part in text


@pytest.mark.parametrize("state", [state for state in State if state != State.AGREED])
def test_each_state_has_a_page(finance: Client, state: State) -> None:
    deal = deals.escrow_in(state)
    assert str(deal.first.title if deal.milestones else "Part 1") in words(finance, page_of(deal.escrow))


def test_an_escrow_leads_to_its_account_and_transfers_and_these_lead_back(finance: Client) -> None:
    escrow = deals.funded().escrow
    page = finance.get(page_of(escrow)).content.decode()
    account = LedgerAccount.objects.get(kind="escrow_held", owner=str(escrow.pk))
    transfer = LedgerTransfer.objects.get(escrow_id=escrow.pk)
    for address in (
        f"/admin/escrow/ledgeraccount/{account.pk}/change/",
        f"/admin/escrow/ledgertransfer/{transfer.pk}/change/",
    ):
        assert address in page
        assert page_of(escrow) in finance.get(address).content.decode()
    assert f"/admin/escrow/ledgertransfer/?escrow_id={escrow.pk}" in page


def test_escrows_are_found_by_id_by_public_id_and_by_a_party(finance: Client) -> None:
    deal, other = deals.proposed(), deals.proposed()
    for term in (str(deal.escrow.pk), str(deal.escrow.public_id)):
        answer = finance.post(f"{ESCROWS}find/", {"term": term})
        assert (answer.status_code, answer.headers["Location"]) == (303, page_of(deal.escrow))
    for party in (deal.buyer, deal.seller):
        address = finance.post(f"{ESCROWS}find/", {"term": party.email}).headers["Location"]
        assert party.email not in address
        assert list(finance.get(address).context["cl"].result_list) == [deal.escrow]
    answer = finance.post(f"{ESCROWS}find/", {"term": "no-such-person@"})
    assert answer.headers["Location"] == ESCROWS
    assert said(answer)[0].startswith("No escrow was found.")
    assert len(finance.get(f"{ESCROWS}?party=nonsense").context["cl"].result_list) == 0
    assert set(finance.get(ESCROWS).context["cl"].result_list) == {deal.escrow, other.escrow}


def test_escrows_are_filtered_by_state_and_by_being_frozen(finance: Client) -> None:
    proposed, ended, funded = deals.proposed(), deals.escrow_in(State.CANCELLED), deals.funded()
    escrows.freeze(escrow_id=funded.escrow.pk, operator=deals.make_freezer(), reason="A complaint.")
    for query, deal in (
        ("state=proposed", proposed),
        ("state=cancelled", ended),
        ("flag=frozen", funded),
    ):
        assert list(finance.get(f"{ESCROWS}?{query}").context["cl"].result_list) == [deal.escrow]


# --- Freezing ---


def test_an_approver_freezes_and_unfreezes_with_a_reason(approver: Client) -> None:
    escrow = deals.funded().escrow
    assert "Stop its money" in words(approver, page_of(escrow))
    answer = approver.post(action(escrow, "freeze"), {"reason": "A complaint."})
    assert (answer.status_code, answer.headers["Location"]) == (303, page_of(escrow))
    escrow.refresh_from_db()
    assert escrow.frozen_at is not None
    text = words(approver, page_of(escrow))
    assert "Frozen since" in text
    assert "A complaint." in text
    assert "Stop its money" not in text
    approver.post(action(escrow, "unfreeze"), {"reason": "It was withdrawn."})
    assert Escrow.objects.get(pk=escrow.pk).frozen_at is None
    assert "It was withdrawn." in words(approver, page_of(escrow))


def test_without_a_reason_nothing_is_frozen(approver: Client) -> None:
    escrow = deals.funded().escrow
    assert said(approver.post(action(escrow, "freeze"), {"reason": "  "})) != []
    escrow.refresh_from_db()
    assert escrow.frozen_at is None


def test_the_button_is_there_in_exactly_the_states_of_the_table(approver: Client) -> None:
    for state in (State.DRAFT, State.PROPOSED, State.AWAITING_FUNDS, State.FUNDED, State.COMPLETED):
        escrow = deals.escrow_in(state).escrow
        assert ("Stop its money" in words(approver, page_of(escrow))) == (state in FREEZABLE)


def test_finance_sees_no_button_and_a_party_neither_sees_nor_uses_one(finance: Client) -> None:
    deal = deals.funded()
    assert "Stop its money" not in words(finance, page_of(deal.escrow))
    deal.buyer.groups.add(Group.objects.get(name="approver"))
    deal.buyer.is_staff = True
    deal.buyer.save()
    own = Client()
    own.force_login(deal.buyer)
    text = words(own, page_of(deal.escrow))
    assert "You are a party of this escrow." in text
    assert "Stop its money" not in text
    assert said(own.post(action(deal.escrow, "freeze"), {"reason": "Mine."})) == [
        "You are a party of this escrow: another operator has to do this."
    ]
    deal.escrow.refresh_from_db()
    assert deal.escrow.frozen_at is None


# --- Ending what is short ---


def short_deal() -> deals.Deal:
    deal = deals.agreed()
    deals.pay(deal.escrow, 500_000, "kept")
    deals.pay(deal.escrow, deal.escrow.due_minor - 500_000, "taken")
    amount = deal.escrow.due_minor - 500_000
    escrows.money_taken_back(
        escrow_id=deal.escrow.pk,
        collection_id=deal.escrow.pk,
        provider="sandbox",
        receipt="taken",
        amount_minor=amount,
    )
    deal.escrow.refresh_from_db()
    return deal


def test_a_short_escrow_says_by_how_much_and_is_not_unfrozen(approver: Client) -> None:
    escrow = short_deal().escrow
    assert f"Escrow {escrow.pk} A website Funded Frozen Short" in words(approver, ESCROWS)
    text = words(approver, page_of(escrow))
    for part in ("Is NGN 96,500 short", "NGN 96,500 is missing", "ends with the NGN 5,000", "taken back"):
        assert part in text
    assert "Let it go on" not in text
    refused = approver.post(action(escrow, "unfreeze"), {"reason": "It is fine."})
    assert said(refused)[0].startswith("NGN 96,500 of its money was taken back")
    assert "End it for the" not in words(signed_in("finance"), page_of(escrow))


@pytest.mark.parametrize("to", ["buyer", "seller"])
def test_an_approver_ends_a_short_escrow_for_a_party_with_a_reason(approver: Client, to: str) -> None:
    deal = short_deal()
    assert "End it for the" in words(approver, page_of(deal.escrow))
    assert said(approver.post(action(deal.escrow, f"end_for_{to}"), {"reason": " "})) == ["Write a reason."]
    assert deal.held == 500_000
    answer = approver.post(action(deal.escrow, f"end_for_{to}"), {"reason": "No answer for weeks."})
    assert (answer.status_code, said(answer)[-1]) == (303, f"Ended. What it held went to the {to}.")
    text = words(approver, page_of(deal.escrow))
    assert "Ended NGN 96,500 short" in text
    assert "No answer for weeks." in text
    assert "End it for the" not in text
    assert (deal.held, deal.buyers > 0, deal.sellers > 0) == (0, to == "buyer", to == "seller")


# --- Stops of the money ---


def test_an_approver_clears_a_stop_with_a_reason(approver: Client) -> None:
    stops.open_for({"drift": "account 7"})
    stop = MoneyStop.objects.get()
    page = f"{STOPS}{stop.pk}/change/"
    assert "Money is stopped Balances disagree with their entries account 7" in words(approver, STOPS)
    assert "Let releases and payouts go on" in words(approver, page)
    assert said(approver.post(f"{STOPS}{stop.pk}/clear/", {"reason": ""})) != []
    stop.refresh_from_db()
    assert stop.cleared_at is None
    answer = approver.post(f"{STOPS}{stop.pk}/clear/", {"reason": "Counted again by hand."})
    assert (answer.status_code, answer.headers["Location"]) == (303, page)
    text = words(approver, page)
    assert "Counted again by hand." in text
    assert "Let releases and payouts go on" not in text


def test_an_open_stop_is_on_the_start_page_and_in_the_sidebar_for_those_who_may_see_it() -> None:
    finance, reviewer = signed_in("finance"), signed_in("kyc reviewer")
    assert "Money is stopped" not in words(finance, "/admin/")
    stops.open_for({"drift": "account 7", "imbalance": "NGN 0.01"})
    start = finance.get("/admin/")
    assert "balances disagree with their entries, and the entries do not add up" in start.content.decode()
    groups = [group for group in start.context["sidebar_navigation"] if group.get("title") == "Escrow"]
    assert [page.get("badge", "") for page in groups[0]["items"] if page["title"] == "Money stops"] == ["2"]
    assert "Money is stopped" not in reviewer.get("/admin/").content.decode()


# --- Roles, and how much is read ---


@pytest.mark.parametrize("role", ["viewer", "responder", "kyc reviewer"])
def test_other_roles_see_neither_escrows_nor_stops(role: str) -> None:
    page = page_of(deals.proposed().escrow)
    client = signed_in(role)
    assert {client.get(address).status_code for address in (ESCROWS, page, STOPS)} == {HTTPStatus.FORBIDDEN}


def test_not_even_a_superuser_changes_an_escrow_by_hand(admin_client: Client) -> None:
    escrow = deals.proposed().escrow
    page = page_of(escrow)
    assert admin_client.post(page, {"state": "completed"}).status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert admin_client.get(f"{ESCROWS}add/").status_code == HTTPStatus.FORBIDDEN
    assert admin_client.post(page.replace("change", "delete")).status_code == HTTPStatus.FORBIDDEN
    escrow.refresh_from_db()
    assert escrow.state == State.PROPOSED


def test_pages_take_the_same_queries_for_one_row_and_for_fifty(finance: Client) -> None:
    buyer, seller = deals.make_party(), deals.make_party()
    escrow = deals.agree(deals.proposed(buyer=buyer, seller=seller))
    deals.pay(escrow, 100)
    few = [len(statements_of(finance, page)) for page in (ESCROWS, page_of(escrow))]
    for _number in range(49):
        escrows.save_draft(creator=buyer, role="buyer", currency="NGN", draft=deals.draft())
    for _number in range(10):
        deals.pay(escrow, 100)
    assert [len(statements_of(finance, page)) for page in (ESCROWS, page_of(escrow))] == few
