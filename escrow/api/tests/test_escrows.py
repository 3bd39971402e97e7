"""/api/v1/escrows and /milestones: the whole way of an escrow, and what is refused with nothing moved."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.api.cursors import cursor_of
from escrow import escrows
from escrow.api.tests.app import API, App
from escrow.escrows.tests.deals import (
    Deal,
    agreed,
    blocked,
    books,
    drafted,
    funded,
    make_freezer,
    make_party,
    pay,
    proposed,
    submitted,
)
from escrow.models import Escrow, EscrowEvent, EscrowTerms, IdempotencyKey, LedgerTransfer, MilestoneEvent

pytestmark = pytest.mark.django_db


def ngn(amount_minor: int, currency: str = "NGN") -> dict[str, Any]:
    return {"amount_minor": amount_minor, "currency": currency}


def wanted(**changes: Any) -> dict[str, Any]:
    milestones = [
        {"title": "Design", "criteria": "Three drafts.", "amount": ngn(6_000_000)},
        {"title": "Files", "amount": ngn(4_000_000)},
    ]
    return {
        "role": "buyer",
        "currency": "NGN",
        "title": "A logo",
        "terms": "As discussed.",
        "milestones": milestones,
        **changes,
    }


def terms(**changes: Any) -> dict[str, Any]:
    found = wanted(**changes)
    return {name: value for name, value in found.items() if name not in {"role", "currency"}}


def everything() -> tuple[int, ...]:
    """How many rows there are of what a refusal must not make."""
    models = (Escrow, EscrowTerms, EscrowEvent, MilestoneEvent, LedgerTransfer, IdempotencyKey)
    return tuple(model._default_manager.count() for model in models)


def at(deal: Deal) -> str:
    return f"/escrows/{deal.escrow.public_id}"


def first(deal: Deal) -> str:
    return f"/milestones/{deal.first.public_id}"


# --- The whole way ---


def test_an_escrow_goes_its_whole_way(mailoutbox: list[Any]) -> None:
    buyer, seller = App(make_party()), App(make_party())
    created = buyer.send("/escrows", wanted(fee_payer="split"))
    draft = created.json()
    assert (created.status_code, draft["state"], draft["role"], created["ETag"]) == (
        201,
        "draft",
        "buyer",
        '"0"',
    )
    here = f"/escrows/{draft['id']}"
    assert created["Location"] == f"{API}{here}"
    assert buyer.get(here) == draft

    email = {"other_email": seller.person.email}
    offer = buyer.post(f"{here}/propose", email, version=draft["version"])
    assert (offer["state"], offer["terms"]["proposed_by"], offer["other_party_joined"]) == (
        "proposed",
        "buyer",
        False,
    )
    seller.get(here, 404)
    token = re.findall(r"/invitations/(\S+)", mailoutbox[-1].body)[0]
    joined = seller.post("/invitations/accept", {"token": token})
    assert (joined["role"], joined["id"], "agree" in joined["steps"]) == ("seller", draft["id"], True)

    counter = seller.post(f"{here}/counter", terms(inspection_days=7), version=joined["version"])
    assert (counter["terms"]["number"], counter["terms"]["proposed_by"]) == (3, "seller")
    deal = buyer.post(f"{here}/agree", {"terms_hash": counter["terms"]["hash"]}, version=counter["version"])
    assert (deal["state"], [one["state"] for one in deal["milestones"]]) == (
        "awaiting_funds",
        ["pending"] * 2,
    )
    pay(Escrow.objects.get(public_id=draft["id"]), deal["due"]["amount_minor"])

    design, files = seller.get(here)["milestones"]
    delivered = seller.post(f"/milestones/{design['id']}/submit", version=design["version"])
    assert (delivered["state"], delivered["auto_release_at"] is not None) == ("submitted", True)
    back = buyer.post(
        f"/milestones/{design['id']}/reject", {"reason": "Too green."}, version=delivered["version"]
    )
    assert back["state"] == "funded"
    part = {"amount": ngn(1_000_000)}
    partly = buyer.post(f"/milestones/{design['id']}/release", part, version=back["version"])
    assert (partly["state"], partly["released"]) == ("funded", ngn(1_000_000))
    done = buyer.send(f"/milestones/{design['id']}/approve", version=partly["version"])
    assert (done.json()["state"], done.json()["released"]) == ("released", ngn(6_000_000))
    assert done["ETag"] == f'"{done.json()["version"]}"'
    refund = {"reason": "I have no time."}
    refunded = seller.post(f"/milestones/{files['id']}/refund", refund, version=files["version"])
    assert (refunded["state"], refunded["refunded"]) == ("refunded", ngn(4_000_000))

    end = buyer.get(here)
    assert (end["state"], end["steps"], end["closed_at"] is not None) == ("closed_mixed", [], True)
    entries = buyer.get(f"{here}/entries")
    assert (entries["balance"], len(entries["items"])) == (ngn(0), 4)
    assert sum(one["amount"]["amount_minor"] for one in entries["items"]) == 0
    earned = seller.get("/balances")["items"][0]
    assert earned["payable"] == ngn(6_000_000 - refunded_fee(deal, "seller_fee"))
    statement = seller.get("/balances/NGN/statement")["items"]
    assert {one["escrow"] for one in statement} == {draft["id"]}
    assert {one["milestone"] for one in statement} == {design["id"]}
    events = [(one["event"], one["by"], one["reason"]) for one in buyer.get(f"{here}/events")["items"]]
    assert events[0] == ("propose", "buyer", "")
    assert ("reject", "buyer", "Too green.") in events
    assert ("refund", "seller", "I have no time.") in events


def refunded_fee(deal: Any, payer: str) -> int:
    fee: int = deal["terms"]["milestones"][0][payer]["amount_minor"]
    return fee


def test_the_fee_is_shown_before_anything_is_agreed() -> None:
    app = App(make_party())
    query: dict[str, Any] = {"currency": "NGN", "amount_minor": [6_000_000, 4_000_000], "fee_payer": "seller"}
    preview = app.get("/escrows/fee", 200, **query)
    agreed_to = app.post("/escrows", wanted(fee_payer="seller"), 201)["terms"]
    assert preview == {name: agreed_to[name] for name in ("amount", "fee", "buyer_pays", "seller_gets")}
    assert preview["fee"]["amount_minor"] > 0


def test_a_cancellation_after_the_funding_needs_both() -> None:
    deal = funded()
    buyer, seller = App(deal.buyer), App(deal.seller)
    asked = buyer.post(f"{at(deal)}/cancel", {"reason": "Moved."}, version=deal.escrow.version)
    assert (asked["state"], asked["cancel_asked_by"]) == ("funded", "buyer")
    kept = seller.post(f"{at(deal)}/keep", version=asked["version"])
    assert kept["cancel_asked_by"] is None
    again = seller.post(f"{at(deal)}/cancel", {}, version=kept["version"])
    ended = buyer.post(f"{at(deal)}/cancel", {}, version=again["version"])
    assert (ended["state"], deal.held) == ("cancelled", 0)
    assert buyer.get("/balances")["items"][0]["refundable"] == ngn(deal.escrow.due_minor)


def test_a_draft_is_rewritten_and_not_proposed_by_who_read_the_old_one() -> None:
    deal = drafted()
    buyer = App(deal.buyer)
    milestones = [{"title": "All of it", "amount": ngn(5_000_000)}]
    written = buyer.send(f"{at(deal)}/rewrite", terms(milestones=milestones), version=0)
    draft = written.json()
    assert (written.status_code, written["ETag"], draft["version"]) == (200, '"1"', 1)
    assert (draft["state"], draft["terms"]["number"], draft["due"]) == ("draft", 2, ngn(5_075_000))
    assert draft["steps"] == ["rewrite", "propose", "cancel"]
    (event,) = buyer.get(f"{at(deal)}/events")["items"]
    assert (event["event"], event["by"], event["to_state"]) == ("rewrite", "buyer", "draft")
    email = {"other_email": "bola@example.com"}
    stale = buyer.post(f"{at(deal)}/propose", email, 412, version=0)
    assert stale["code"] == "version_changed"
    offer = buyer.post(f"{at(deal)}/propose", email, version=1)
    assert (offer["due"], offer["terms"]["number"]) == (ngn(5_075_000), 3)
    late = buyer.post(f"{at(deal)}/rewrite", terms(), 409, version=offer["version"])
    assert late["code"] == "not_in_this_state"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"milestones": [{"title": "a", "amount": ngn(5_000_000, "USD")}]}, "milestones.0.amount.currency"),
        ({"milestones": [{"title": "a", "amount": ngn(10_000)}]}, "milestones"),
        ({"title": "a\u202eb"}, "title"),
        ({"currency": "USD"}, "currency"),
    ],
)
def test_a_draft_that_is_rewritten_wrongly_stays_as_it_was(changes: Any, field: str) -> None:
    deal = drafted()
    before = everything()
    body = {**terms(), **changes}
    assert list(App(deal.buyer).post(f"{at(deal)}/rewrite", body, 422, version=0)["fields"]) == [field]
    assert everything() == before


def test_another_address_is_invited_instead(mailoutbox: list[Any]) -> None:
    deal = drafted()
    buyer = App(deal.buyer)
    buyer.post(f"{at(deal)}/propose", {"other_email": "bola@example.com"}, version=0)
    invited = buyer.post(f"{at(deal)}/invitations", {"other_email": "obi@example.com"}, 201)
    assert invited["escrow"] == str(deal.escrow.public_id)
    assert [mail.to for mail in mailoutbox[-2:]] == [["bola@example.com"], ["obi@example.com"]]


# --- Once ---


def test_a_release_that_is_repeated_pays_once_and_answers_the_same() -> None:
    deal = submitted()
    buyer = App(deal.buyer)
    key, version = str(uuid4()), deal.first.version
    done = buyer.send(f"{first(deal)}/approve", key=key, version=version)
    before = (everything(), books(deal))
    again = buyer.send(f"{first(deal)}/approve", key=key, version=version)
    assert (done.status_code, again.content, again["ETag"]) == (200, done.content, done["ETag"])
    assert (everything(), books(deal)) == before
    other = buyer.send(f"{first(deal)}/release", {"amount": ngn(1)}, key=key, version=version)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert (everything(), books(deal)) == before


WRITES: tuple[tuple[str, Any, str, str, Any], ...] = (
    ("buyer", drafted, "escrow", "rewrite", terms()),
    ("buyer", drafted, "escrow", "propose", {"other_email": "bola@example.com"}),
    ("seller", proposed, "escrow", "counter", terms()),
    ("seller", proposed, "escrow", "agree", None),
    ("buyer", agreed, "escrow", "cancel", {}),
    ("seller", submitted, "milestone", "submit", None),
    ("buyer", submitted, "milestone", "reject", {"reason": "No."}),
    ("buyer", submitted, "milestone", "approve", None),
    ("buyer", submitted, "milestone", "release", {"amount": ngn(5)}),
    ("seller", submitted, "milestone", "refund", {}),
)
IDS = [action for _, _, _, action, _ in WRITES]


@pytest.mark.parametrize(("who", "begin", "kind", "action", "body"), WRITES, ids=IDS)
def test_each_change_needs_its_key_its_version_and_its_party(
    who: str, begin: Any, kind: str, action: str, body: Any
) -> None:
    deal = begin()
    row = deal.escrow if kind == "escrow" else deal.first
    path = f"/{kind}s/{row.public_id}/{action}"
    if action == "agree":
        body = {"terms_hash": deal.terms_hash}
    app = App(getattr(deal, who))
    stranger = App(make_party())
    before = (everything(), books(deal))

    keyless = app.client.post(
        f"{API}{path}", body or {}, content_type="application/json", headers={"If-Match": '"1"'}
    )
    assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency_key_missing")
    assert app.post(path, body, 428)["code"] == "version_missing"
    stale = app.send(path, body, version=row.version + 1)
    assert (stale.status_code, stale.json()["code"]) == (412, "version_changed")
    assert stale["ETag"] == f'"{row.version}"'
    assert stranger.post(path, body, 404, version=row.version)["code"] == f"{kind}_not_found"
    assert app.post(f"/{kind}s/{uuid4()}/{action}", body, 404, version=0)["code"] == f"{kind}_not_found"
    if body:
        surplus = app.post(path, {**body, "surplus": 1}, 422, version=row.version)
        assert list(surplus["fields"]) == ["surplus"]
    assert (everything(), books(deal)) == before


# --- Refused input ---


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"role": "agent"}, "role"),
        ({"currency": "NAIRA"}, "currency"),
        ({"currency": "XXX", "milestones": [{"title": "a", "amount": ngn(5_000_000, "XXX")}]}, "currency"),
        ({"title": ""}, "title"),
        ({"title": "   "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "Pay\u0440al"}, "title"),
        ({"title": "a\u202eb"}, "title"),
        ({"terms": "a\u0007b"}, "terms"),
        ({"terms": "\ud800"}, "terms"),
        ({"milestones": []}, "milestones"),
        ({"milestones": [{"title": "a", "amount": ngn(5_000_000)}] * 51}, "milestones"),
        ({"fee_payer": "amani"}, "fee_payer"),
        ({"inspection_days": 0}, "inspection_days"),
        ({"inspection_days": 1.5}, "inspection_days"),
        ({"inspection_days": True}, "inspection_days"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_a_wrong_draft_names_its_field(changes: Any, field: str) -> None:
    app = App(make_party())
    before = everything()
    assert list(app.post("/escrows", wanted(**changes), 422)["fields"]) == [field]
    assert everything() == before


@pytest.mark.parametrize(
    ("amount", "field"),
    [
        (ngn(0), "amount_minor"),
        (ngn(-5), "amount_minor"),
        (ngn(1.5), "amount_minor"),  # type: ignore[arg-type]  # what a client may send
        (ngn(1.0), "amount_minor"),  # type: ignore[arg-type]
        (ngn("5"), "amount_minor"),  # type: ignore[arg-type]
        (ngn(True), "amount_minor"),
        (ngn(None), "amount_minor"),  # type: ignore[arg-type]
        (ngn(10**15), "amount_minor"),
        (ngn(10**400), "amount_minor"),
        (ngn(5, "USD"), "currency"),
        (ngn(5, "ngn"), "currency"),
        ({"amount_minor": 5}, "currency"),
        (5, ""),
    ],
)
def test_an_amount_is_a_whole_number_in_the_escrows_currency(amount: Any, field: str) -> None:
    deal = submitted()
    before = (everything(), books(deal))
    name = f"amount.{field}".rstrip(".")
    app = App(deal.buyer)
    refused = app.post(f"{first(deal)}/release", {"amount": amount}, 422, version=deal.first.version)
    assert list(refused["fields"]) == [name]
    in_draft = wanted(milestones=[{"title": "a", "amount": amount}])
    assert list(app.post("/escrows", in_draft, 422)["fields"]) == [f"milestones.0.{name}"]
    assert (everything(), books(deal)) == before


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"currency": "NGN", "amount_minor": [0]}, "amount_minor"),
        ({"currency": "NGN", "amount_minor": ["x"]}, "amount_minor.0"),
        ({"currency": "NGN"}, "amount_minor"),
        ({"currency": "NGN", "amount_minor": [1]}, "milestones"),
        ({"currency": "XXX", "amount_minor": [5_000_000]}, "currency"),
    ],
)
def test_a_preview_of_nonsense_names_its_field(query: Any, field: str) -> None:
    assert list(App(make_party()).get("/escrows/fee", 422, **query)["fields"]) == [field]


def test_steps_that_the_state_does_not_allow_are_refused() -> None:
    deal = agreed()
    buyer, seller = App(deal.buyer), App(deal.seller)
    before = (everything(), books(deal))
    own = {"other_email": deal.buyer.email}
    version = deal.escrow.version
    for app, path, body, status, code in (
        (buyer, f"{at(deal)}/propose", {"other_email": "bola@example.com"}, 409, "not_in_this_state"),
        (buyer, f"{at(deal)}/propose", own, 422, "same_party"),
        (buyer, f"{at(deal)}/propose", {"other_email": "no address"}, 422, "wrong_party"),
        (seller, f"{at(deal)}/agree", {"terms_hash": "0" * 64}, 409, "not_in_this_state"),
        (buyer, f"{at(deal)}/keep", None, 409, "not_in_this_state"),
        (seller, f"{first(deal)}/submit", None, 409, "not_in_this_state"),
        (seller, f"{first(deal)}/approve", None, 409, "not_in_this_state"),
    ):
        row = version if path.startswith("/escrows") else deal.first.version
        assert app.post(path, body, status, version=row)["code"] == code, path
    assert (everything(), books(deal)) == before


def test_another_hash_is_not_agreed_to() -> None:
    deal = proposed()
    seller = App(deal.seller)
    refused = seller.post(f"{at(deal)}/agree", {"terms_hash": "0" * 64}, 409, version=deal.escrow.version)
    assert (refused["code"], list(refused["fields"])) == ("terms_changed", ["terms_hash"])
    buyer = App(deal.buyer)
    own = buyer.post(f"{at(deal)}/agree", {"terms_hash": deal.terms_hash}, 409, version=deal.escrow.version)
    assert own["code"] == "own_terms"


def test_more_than_what_is_left_is_not_a_part() -> None:
    deal = submitted()
    refused = App(deal.buyer).post(
        f"{first(deal)}/release", {"amount": ngn(deal.first.amount_minor)}, 422, version=deal.first.version
    )
    assert (refused["code"], list(refused["fields"])) == ("wrong_amount", ["amount.amount_minor"])


@pytest.mark.parametrize("token", ["x" * 43, "", "x" * 101, "' OR 1=1 -- aaaaaaaaaaaaaaaaa"])
def test_a_wrong_token_joins_nothing(token: str) -> None:
    refused = App(make_party()).send("/invitations/accept", {"token": token})
    assert refused.status_code == (404 if 20 <= len(token) <= 100 else 422)


def test_a_frozen_escrow_says_so_and_hides_the_operators_words() -> None:
    deal = submitted()
    escrows.freeze(escrow_id=deal.escrow.pk, operator=make_freezer(), reason="Suspected fraud.")
    app = App(deal.buyer)
    assert app.post(f"{first(deal)}/approve", None, 409, version=deal.first.version)["code"] == "frozen"
    assert app.get(at(deal))["frozen"] is True
    frozen = app.get(f"{at(deal)}/events")["items"][-1]
    assert (frozen["event"], frozen["by"], frozen["reason"]) == ("freeze", "amani", "")


def test_a_release_that_the_seller_cannot_receive_is_asked_for() -> None:
    deal = blocked()
    shown = App(deal.buyer).get(first(deal))
    assert (shown["state"], shown["released"]) == ("release_requested", ngn(0))


# --- Lists ---


def test_lists_show_only_ones_own_and_filter() -> None:
    deal, other = agreed(), drafted()
    app = App(deal.buyer)
    (mine,) = app.get("/escrows")["items"]
    assert mine == app.get(at(deal))
    assert [one["id"] for one in app.get("/milestones")["items"]] == [
        str(one.public_id) for one in reversed(deal.milestones)
    ]
    for path in (at(other), f"{at(other)}/events", f"{at(other)}/entries"):
        assert app.get(path, 404)["code"] == "escrow_not_found"
    query: dict[str, Any]
    for query, count in (
        ({"state": "awaiting_funds"}, 1),
        ({"state": "draft"}, 0),
        ({"role": "buyer"}, 1),
        ({"role": "seller"}, 0),
        ({"currency": "NGN"}, 1),
        ({"currency": "USD"}, 0),
        ({"created_from": "2026-01-01T00:00:00Z"}, 1),
        ({"created_to": "2026-01-01T00:00:00Z"}, 0),
    ):
        assert len(app.get("/escrows", 200, **query)["items"]) == count, query
    for query, count in (
        ({"state": "pending"}, 2),
        ({"state": "funded"}, 0),
        ({"escrow": str(deal.escrow.public_id)}, 2),
        ({"escrow": str(other.escrow.public_id)}, 0),
    ):
        assert len(app.get("/milestones", 200, **query)["items"]) == count, query


@pytest.mark.parametrize(("path", "count"), [("/escrows", 5), ("/milestones", 10), ("events", 9)])
def test_pages_follow_each_other(path: str, count: int) -> None:
    buyer = make_party()
    deals = [agreed_by(buyer) for _ in range(5)]
    if path == "events":
        path, count = f"{at(deals[0])}/events", len(App(buyer).get(f"{at(deals[0])}/events")["items"])
    app = App(buyer)
    pages: list[list[Any]] = []
    cursor = None
    while cursor is not None or not pages:
        page = app.get(path, limit=2, **({"cursor": cursor} if cursor else {}))
        pages.append([tuple(sorted(map(str, one.items()))) for one in page["items"]])
        cursor = page["next"]
    assert [len(page) for page in pages] == [2] * (count // 2) + [1] * (count % 2)
    assert len({one for page in pages for one in page}) == count


def agreed_by(buyer: Any) -> Deal:
    deal = proposed(buyer=buyer)
    return deal._replace(
        escrow=escrows.agree(actor=deal.seller, public_id=deal.escrow.public_id, terms_hash=deal.terms_hash)
    )


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": "lost"}, "state"),
        ({"role": "agent"}, "role"),
        ({"currency": "ngn"}, "currency"),
        ({"created_from": "1767225600"}, "created_from"),
        ({"created_from": "2026-01-31T12:00:00"}, "created_from"),
        ({"created_to": "yesterday"}, "created_to"),
        ({"limit": 0}, "limit"),
    ],
)
def test_a_wrong_filter_names_its_field(query: Any, field: str) -> None:
    assert list(App(make_party()).get("/escrows", 422, **query)["fields"]) == [field]


def test_the_cursor_of_anothers_row_is_refused() -> None:
    deal, app = agreed(), App(make_party())
    for path, row in (("/escrows", deal.escrow), ("/milestones", deal.first)):
        refused = app.get(path, 422, cursor=cursor_of(path[1:], row.public_id))
        assert (refused["code"], list(refused["fields"])) == ("wrong_cursor", ["cursor"])


def queries_of(app: App, path: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        app.get(path, limit=100)
    return len(queries)


def test_lists_cost_as_many_queries_for_fifty_as_for_one() -> None:
    deal = funded()
    escrows.release_partially(actor=deal.buyer, public_id=deal.first.public_id, amount_minor=100)
    app = App(deal.buyer)
    paths = ("/escrows", "/milestones", f"{at(deal)}/events", f"{at(deal)}/entries")
    one = [queries_of(app, path) for path in paths]
    proposals = [proposed(buyer=deal.buyer, seller=deal.seller) for _ in range(3)]
    for proposal in proposals:
        escrows.agree(actor=deal.seller, public_id=proposal.escrow.public_id, terms_hash=proposal.terms_hash)
    for _ in range(4):
        escrows.release_partially(actor=deal.buyer, public_id=deal.first.public_id, amount_minor=100)
    assert [queries_of(app, path) for path in paths] == one
    assert max(one) <= 12
