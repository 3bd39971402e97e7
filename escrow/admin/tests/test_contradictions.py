"""The pages of contradictions: the open ones first, and an approver closes one."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.db import connection
from django.test import Client

from core.tests.plans import rows_read, statements_of
from escrow.admin.tests.operators import said, signed_in, words
from escrow.admin.tests.payments import make_payout, whole_payments
from escrow.models import Contradiction
from escrow.payments.contradictions import Kind, close, note
from kyc.tests.people import make_operator

pytestmark = pytest.mark.django_db

CONTRADICTIONS = "/admin/escrow/contradiction/"
WHY = "The bank confirmed it."
# Closed long ago, all of one payout.
MANY = """
INSERT INTO escrow_contradiction (at, provider, kind, booked, said, payout_id)
SELECT now() - n * interval '1 minute', 'sandbox', 'after_the_end', 'settled', 'said ' || n, %(payout)s
FROM generate_series(1, 3000) n;
UPDATE escrow_contradiction SET closed_at = now(), closed_by_id = %(actor)s, closed_because = 'Looked at it.';
ANALYZE escrow_contradiction;
"""


def page(pk: int) -> str:
    return f"{CONTRADICTIONS}{pk}/change/"


def results(client: Client, query: str = "") -> list[Contradiction]:
    return list(client.get(CONTRADICTIONS + query).context["cl"].result_list)


def closed(found: Contradiction) -> Contradiction:
    return close(contradiction_id=found.pk, actor=make_operator("approver"), reason=WHY)


def test_the_open_ones_come_first_and_filters_choose() -> None:
    payments, finance = whole_payments(), signed_in()
    of_payout = Contradiction.objects.get(payout=payments.payout)
    of_collection = Contradiction.objects.get(collection=payments.collection)
    newest = max(of_payout, of_collection, key=lambda row: row.pk)
    oldest = min(of_payout, of_collection, key=lambda row: row.pk)
    closed(newest)
    assert results(finance) == [oldest, newest]
    assert results(finance, "?standing=open") == [oldest]
    assert results(finance, "?standing=closed") == [newest]
    assert results(finance, "?kind__exact=taken_back") == []
    assert results(finance, "?provider=sandbox") == [oldest, newest]
    assert results(finance, "?provider=paystack") == []
    text = words(finance, CONTRADICTIONS)
    assert "Open Another amount XTS 40 → XTS 41" in text
    assert f"payout {payments.payout.pk} Sandbox bank" in text


def test_an_approver_closes_it_with_a_reason_which_the_page_then_shows() -> None:
    payout, approver = whole_payments().payout, signed_in("approver")
    found = Contradiction.objects.get(payout=payout)
    text = words(approver, page(found.pk))
    for part in ("Another amount", "Sandbox bank says XTS 41", "Close this contradiction"):
        assert part in text
    assert said(approver.post(f"{CONTRADICTIONS}{found.pk}/close/", {"reason": " "})) != ["Closed."]
    answer = approver.post(f"{CONTRADICTIONS}{found.pk}/close/", {"reason": WHY})
    assert (answer.status_code, answer.headers["Location"]) == (HTTPStatus.SEE_OTHER, page(found.pk))
    text = words(approver, page(found.pk))
    assert WHY in text
    assert "Close this contradiction" not in text
    assert "Contradicted by the provider" not in words(approver, f"/admin/escrow/payout/{payout.pk}/change/")


def test_finance_sees_it_without_the_button() -> None:
    found, finance = Contradiction.objects.get(payout=whole_payments().payout), signed_in()
    assert "Close this contradiction" not in words(finance, page(found.pk))
    answer = finance.post(f"{CONTRADICTIONS}{found.pk}/close/", {"reason": WHY})
    assert answer.status_code == HTTPStatus.FORBIDDEN
    found.refresh_from_db()
    assert found.closed_at is None


def test_payment_and_contradiction_lead_to_each_other() -> None:
    payments, finance = whole_payments(), signed_in()
    for kind, row in (("payout", payments.payout), ("collection", payments.collection)):
        found = Contradiction.objects.get(**{kind: row})
        address = f"/admin/escrow/{kind}/{row.pk}/change/"
        assert page(found.pk) in finance.get(address).content.decode()
        assert address in finance.get(page(found.pk)).content.decode()


def test_among_thousands_the_open_ones_are_read_from_their_index_at_the_same_cost() -> None:
    payout, finance = make_payout(), signed_in()
    note(payout, Kind.OTHER_AMOUNT, booked="1", said="2")
    few = len(statements_of(finance, CONTRADICTIONS))
    with connection.cursor() as cursor:
        cursor.execute(MANY, {"payout": payout.pk, "actor": make_operator("approver").pk})
    note(payout, Kind.OTHER_AMOUNT, booked="1", said="3")
    found = statements_of(finance, CONTRADICTIONS)
    assert len(found) <= few + 1  # a page that the open ones do not fill asks for closed ones too
    of_open_ones = [text for text in found if 'WHERE "escrow_contradiction"."closed_at" IS NULL' in text]
    assert of_open_ones
    for statement in of_open_ones:
        read, plan = rows_read(statement)
        assert read <= 20, plan  # the few operators may be read whole
        assert "contradiction_open" in plan
    assert not [text for text in found if "DISTINCT" in text]
