"""The pages of collections, payouts and webhooks: what they say, and what an approver may do there."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client

from core.tests.plans import statements_of
from escrow.admin.tests.operators import said, signed_in, words
from escrow.admin.tests.payments import history_of, make_collection, make_payout, whole_payments
from escrow.models import LedgerTransfer, PaymentEvent
from escrow.payments.tests.money import rich

pytestmark = pytest.mark.django_db

PAYOUTS, COLLECTIONS = "/admin/escrow/payout/", "/admin/escrow/collection/"
EVENTS = "/admin/escrow/paymentevent/"


def page(pages: str, pk: int) -> str:
    return f"{pages}{pk}/change/"


@pytest.fixture
def finance() -> Client:
    return signed_in("finance")


def test_the_lists_say_state_amount_and_contradictions_without_names(finance: Client) -> None:
    payout, collection, _event = whole_payments()
    text = words(finance, PAYOUTS)
    assert f"Payout {payout.pk} Sandbox bank Requested Contradicted XTS 40 user {payout.user_id}" in text
    assert payout.user.email not in text
    text = words(finance, COLLECTIONS)
    assert f"Collection {collection.pk} Sandbox bank Started Contradicted" in text
    assert f"escrow {collection.escrow_id}" in text
    make_payout()
    assert list(finance.get(f"{PAYOUTS}?flag=contradicted").context["cl"].result_list) == [payout]
    assert len(finance.get(f"{PAYOUTS}?state__exact=requested").context["cl"].result_list) == 2


def test_a_page_has_requests_webhooks_contradictions_and_the_last_digits_only(finance: Client) -> None:
    payout, collection, event = whole_payments()
    for address, row in ((page(PAYOUTS, payout.pk), payout), (page(COLLECTIONS, collection.pk), collection)):
        text = words(finance, address)
        for part in ("ask unknown 504 250 ms", "Another amount XTS 40 XTS 41", "transfer.success Given up"):
            assert part in text
        assert row.reference in text
    text = words(finance, page(PAYOUTS, payout.pk))
    assert payout.user.email in text
    assert "…6789" in text
    assert "0123456789" not in text
    assert page(EVENTS, event.pk) in finance.get(page(PAYOUTS, payout.pk)).content.decode()


def test_a_payout_leads_to_its_transfers_and_they_lead_back(finance: Client) -> None:
    payout = make_payout()
    transfer = (
        f"/admin/escrow/ledgertransfer/{LedgerTransfer.objects.get(kind='payout_requested').pk}/change/"
    )
    assert transfer in finance.get(page(PAYOUTS, payout.pk)).content.decode()
    assert page(PAYOUTS, payout.pk) in finance.get(transfer).content.decode()


def test_an_escrow_leads_to_its_collection_with_its_requests_and_back(finance: Client) -> None:
    collection = make_collection()
    history_of(collection=collection)
    escrow = page("/admin/escrow/escrow/", collection.escrow_id)
    assert page(COLLECTIONS, collection.pk) in finance.get(escrow).content.decode()
    assert "ask unknown 504 250 ms" in words(finance, escrow)
    assert escrow in finance.get(page(COLLECTIONS, collection.pk)).content.decode()


def test_payments_are_found_by_id_reference_and_user(finance: Client) -> None:
    payout = make_payout()
    make_payout()
    for term in (str(payout.pk), str(payout.public_id), payout.reference):
        answer = finance.post(f"{PAYOUTS}find/", {"term": term})
        assert (answer.status_code, answer.headers["Location"]) == (303, page(PAYOUTS, payout.pk))
    address = finance.post(f"{PAYOUTS}find/", {"term": payout.user.email}).headers["Location"]
    assert payout.user.email not in address
    assert list(finance.get(address).context["cl"].result_list) == [payout]
    answer = finance.post(f"{COLLECTIONS}find/", {"term": "no such reference"})
    assert answer.headers["Location"] == COLLECTIONS
    assert said(answer)[0].startswith("Nothing was found.")


def test_an_approver_has_a_webhook_processed_again_with_a_reason() -> None:
    event, approver = whole_payments().event, signed_in("approver")
    text = words(approver, page(EVENTS, event.pk))
    assert "The provider does not answer." in text
    assert "Ask the provider again" in text
    assert said(approver.post(f"{EVENTS}{event.pk}/again/", {"reason": " "})) != []
    assert PaymentEvent.objects.get(pk=event.pk).state == "failed"
    answer = approver.post(f"{EVENTS}{event.pk}/again/", {"reason": "It answers again."})
    assert (answer.status_code, answer.headers["Location"]) == (303, page(EVENTS, event.pk))
    assert PaymentEvent.objects.get(pk=event.pk).state == "pending"
    assert "It answers again." in words(approver, page(EVENTS, event.pk))


def test_finance_sees_webhooks_without_the_button_and_nobody_sees_a_body(finance: Client) -> None:
    event = whole_payments().event
    text = words(finance, page(EVENTS, event.pk))
    assert f"payout {event.payout_id}" in text
    assert "Ask the provider again" not in text
    assert "sealed" not in text
    assert (
        f"Given up The provider does not answer. transfer.success Sandbox bank payout {event.payout_id}"
        in (words(finance, EVENTS))
    )
    assert finance.post(f"{EVENTS}{event.pk}/again/", {"reason": "x"}).status_code == HTTPStatus.FORBIDDEN


def test_not_even_a_superuser_changes_a_payment_by_hand(admin_client: Client) -> None:
    payout, collection, event = whole_payments()
    for address in (page(PAYOUTS, payout.pk), page(COLLECTIONS, collection.pk), page(EVENTS, event.pk)):
        assert admin_client.post(address, {"state": "done"}).status_code == HTTPStatus.METHOD_NOT_ALLOWED
        assert admin_client.post(address.replace("change", "delete")).status_code == HTTPStatus.FORBIDDEN


def test_pages_take_the_same_queries_for_one_row_and_for_fifty(finance: Client) -> None:
    payout, _collection, event = whole_payments()
    pages = (PAYOUTS, EVENTS, page(PAYOUTS, payout.pk), page(EVENTS, event.pk))
    few = [len(statements_of(finance, address)) for address in pages]
    user = rich(10**6)
    for _number in range(50):
        history_of(payout=make_payout(user, amount_minor=1))
    assert [len(statements_of(finance, address)) for address in pages] == few
