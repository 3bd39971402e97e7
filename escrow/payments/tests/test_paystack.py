"""Tests the requests to Paystack, and what each of its answers and statuses means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.outcomes import Rejected, RetryLater
from escrow.payments.base import (
    Callback,
    Checkout,
    CollectionFacts,
    CollectionSeen,
    CollectionStatus,
    Destination,
    Malformed,
    NotFound,
    PayoutFacts,
    PayoutSeen,
    PayoutStatus,
    Unknown,
)
from escrow.payments.paystack import format as wording
from escrow.payments.paystack.provider import Paystack
from escrow.payments.tests.paystack_stand_in import (
    PREVIOUS_KEY,
    Fault,
    PaystackStandIn,
    refused,
    signature_of,
)

provider = Paystack()
ACCOUNT = Destination(bank_code="058", account_number="0123456789", account_name="Ada Obi")


def collection(**changes: Any) -> CollectionFacts:
    known: dict[str, Any] = {
        "reference": "c-1",
        "amount_minor": 150_000,
        "currency": "NGN",
        "title": "A boat",
        "email": "buyer@example.com",
        "return_url": "https://amani.example/",
    }
    return CollectionFacts(**known | changes)


def payout(**changes: Any) -> PayoutFacts:
    known: dict[str, Any] = {"reference": "p-1", "amount_minor": 90_000, "currency": "NGN"}
    return PayoutFacts(**known | {"destination": ACCOUNT, "reason": "Amani payout"} | changes)


def sent(status: PayoutStatus = PayoutStatus.SENT, text: str = "pending") -> PayoutSeen:
    return PayoutSeen(status, "p-1", 90_000, "NGN", "TRF_0000000000000001", text)


# --- what is sent ---


def test_a_collection_is_initialized_with_our_reference(paystack: PaystackStandIn) -> None:
    assert provider.collect(collection()) == Checkout("https://checkout.paystack.com/access1", "access1")
    assert paystack.requests == [
        (
            "initialize",
            {
                "email": "buyer@example.com",
                "amount": 150_000,
                "currency": "NGN",
                "reference": "c-1",
                "callback_url": "https://amani.example/",
                "metadata": {"title": "A boat"},
            },
        )
    ]
    assert provider.ask_collection("c-1") == CollectionSeen(
        CollectionStatus.OPEN, "c-1", 150_000, "NGN", "4099260516", "abandoned"
    )


def test_a_payout_has_a_recipient_and_one_transfer_however_often_it_is_sent(
    paystack: PaystackStandIn,
) -> None:
    assert provider.pay(payout()) == sent()
    assert provider.pay(payout()) == sent()
    assert [operation for operation, _ in paystack.requests] == ["recipient", "transfer"] * 2
    assert len(paystack.transfers) == 1
    assert paystack.requests[0][1] == {
        "type": "nuban",
        "name": "Ada Obi",
        "account_number": "0123456789",
        "bank_code": "058",
        "currency": "NGN",
    }
    assert paystack.requests[1][1] == {
        "source": "balance",
        "amount": 90_000,
        "currency": "NGN",
        "recipient": "RCP_0000000000000001",
        "reference": "p-1",
        "reason": "Amani payout",
    }


def test_a_currency_that_paystack_does_not_have_is_not_sent(paystack: PaystackStandIn) -> None:
    assert provider.collect(collection(currency="EUR")) == Rejected("Paystack does not collect EUR.")
    assert provider.pay(payout(currency="USD")) == Rejected("Paystack does not pay out USD.")
    assert paystack.requests == []


# --- statuses, one by one ---


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("pending", PayoutStatus.SENT),
        ("received", PayoutStatus.SENT),
        ("otp", PayoutStatus.SENT),
        ("success", PayoutStatus.SETTLED),
        ("failed", PayoutStatus.FAILED),
        ("abandoned", PayoutStatus.FAILED),
        ("blocked", PayoutStatus.FAILED),
        ("rejected", PayoutStatus.FAILED),
        ("reversed", PayoutStatus.REVERSED),
        ("SUCCESS", PayoutStatus.UNKNOWN),
        ("processed", PayoutStatus.UNKNOWN),
        ("", PayoutStatus.UNKNOWN),
    ],
)
def test_each_status_of_a_transfer(text: str, status: PayoutStatus) -> None:
    data = {"status": text, "reference": "p-1", "amount": 90_000, "currency": "NGN"}
    seen = wording.payout_seen(data | {"transfer_code": "TRF_0000000000000001"})
    assert seen == sent(status, text)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("success", CollectionStatus.RECEIVED),
        ("failed", CollectionStatus.UNPAID),
        ("reversed", CollectionStatus.REVERSED),
        ("abandoned", CollectionStatus.OPEN),
        ("ongoing", CollectionStatus.OPEN),
        ("pending", CollectionStatus.OPEN),
        ("processing", CollectionStatus.OPEN),
        ("queued", CollectionStatus.OPEN),
        ("paid", CollectionStatus.UNKNOWN),
    ],
)
def test_each_status_of_a_transaction(text: str, status: CollectionStatus) -> None:
    data = {"status": text, "reference": "c-1", "amount": 1000.0, "currency": "NGN", "id": 7}
    assert wording.collection_seen(data) == CollectionSeen(status, "c-1", 1_000, "NGN", "7", text)


@pytest.mark.parametrize("amount", ["1000", 10.5, -1, True, None, 1e300, float("inf"), float("nan")])
def test_what_is_no_amount_equals_none_of_ours(amount: Any) -> None:
    assert wording.payout_seen({"status": "success", "amount": amount}).amount_minor == -1


def test_a_transfer_that_waits_for_an_otp_is_sent_and_not_settled(paystack: PaystackStandIn) -> None:
    paystack.first_status = "otp"
    assert provider.pay(payout()) == sent(PayoutStatus.SENT, "otp")


def test_a_success_may_become_reversed(paystack: PaystackStandIn) -> None:
    provider.pay(payout())
    paystack.transfers["p-1"]["status"] = "success"
    assert provider.ask_payout("p-1") == sent(PayoutStatus.SETTLED, "success")
    paystack.transfers["p-1"]["status"] = "reversed"
    assert provider.ask_payout("p-1") == sent(PayoutStatus.REVERSED, "reversed")


# --- answers that say nothing, and refusals ---


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(status=500), "Paystack answered 500."),
        (Fault(status=502, body="<html>bad gateway</html>"), "Paystack answered 502."),
        (Fault(status=200), "Paystack answered 200."),
        (Fault(status=200, body="{}"), "Paystack answered 200."),
        (Fault(status=200, body='{"status": true, "data": null}'), "Paystack answered 200."),
        (Fault(status=200, body='{"status": tr'), "Paystack answered 200."),
        (Fault(status=302), "Paystack answered 302."),
        (Fault(status=400, body="<html>a proxy</html>"), "Paystack answered 400."),
        (Fault(status=408), "Paystack answered 408."),
        (Fault(reset=True), "Paystack does not answer: sent, but no answer: "),
        (Fault(hang=True), "Paystack does not answer: sent, but no answer: the total time was up"),
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_a_transfer_without_a_clear_answer_is_unknown(
    paystack: PaystackStandIn, impatient: None, fault: Fault, reason: str, after: bool
) -> None:
    paystack.faults["transfer"].append(Fault(fault.status, fault.body, fault.hang, fault.reset, after))
    outcome = provider.pay(payout())
    assert isinstance(outcome, Unknown)
    assert outcome.reason.startswith(reason)
    asked = provider.ask_payout("p-1")
    assert asked == (sent() if after else NotFound("Paystack does not know this reference."))


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (refused(400, "Recipient specified is invalid", "invalid_recipient"), Rejected),
        (refused(422, "Amount is too small", "invalid_amount"), Rejected),
        (refused(400, "Please provide a unique reference", "duplicate_transfer_reference"), Unknown),
        (refused(400, "Duplicate Transfer Reference", "x"), Unknown),
        (
            refused(400, "Your balance is not enough to fulfil this request", "insufficient_balance"),
            RetryLater,
        ),
        (refused(401, "Invalid key", "invalid_key"), RetryLater),
        (refused(403, "Blocked", "x"), RetryLater),
        (refused(404, "No such address", "x"), RetryLater),
        (refused(429, "Slow down", "x"), RetryLater),
    ],
)
def test_a_refusal_is_final_only_if_no_money_can_have_left(
    paystack: PaystackStandIn, answer: tuple[int, str], outcome: type
) -> None:
    paystack.faults["transfer"].append(Fault(*answer))
    assert isinstance(provider.pay(payout()), outcome)
    assert paystack.transfers == {}


def test_a_recipient_without_an_answer_moves_nothing_so_it_is_tried_again(
    paystack: PaystackStandIn, impatient: None
) -> None:
    for fault in (Fault(), Fault(hang=True), Fault(reset=True), Fault(status=200)):
        paystack.faults["recipient"].append(fault)
        assert isinstance(provider.pay(payout()), RetryLater)
    assert paystack.transfers == {}
    wrong = Destination(bank_code="999", account_number="1", account_name="Ada Obi")
    assert provider.pay(payout(destination=wrong)) == Rejected("Paystack answered 400.")


def test_what_cannot_be_reached_was_certainly_not_sent(settings: Any, paystack: PaystackStandIn) -> None:
    settings.PAYSTACK_BASE_URL = "http://127.0.0.1:9"
    assert isinstance(provider.pay(payout()), RetryLater)
    assert isinstance(provider.collect(collection()), RetryLater)
    assert isinstance(provider.ask_payout("p-1"), RetryLater)


def test_a_question_without_an_answer_teaches_nothing(paystack: PaystackStandIn, impatient: None) -> None:
    provider.pay(payout())
    answers = [Fault(), Fault(status=200), Fault(status=404), Fault(hang=True), Fault(reset=True)]
    for fault in [*answers, Fault(status=404, body="<html>not found</html>")]:
        paystack.faults["verify_transfer"].append(fault)
        assert isinstance(provider.ask_payout("p-1"), RetryLater)
    assert provider.ask_payout("p-1") == sent()


def test_a_collection_whose_answer_was_lost_is_unknown_and_then_known(paystack: PaystackStandIn) -> None:
    assert provider.ask_collection("c-1") == NotFound("Paystack does not know this reference.")
    paystack.faults["initialize"].append(Fault(after=True))
    assert isinstance(provider.collect(collection()), Unknown)
    assert provider.collect(collection()) == Unknown("Paystack has this reference already.")
    assert len(paystack.transactions) == 1


# --- webhooks ---

ODD_BODIES = [
    b'{"event":"charge.success","data":{"reference":"c-1","amount":150000}}',
    b'{ "event" :"charge.success",\n\t"data": {"amount": 150000.0, "reference":"c-1"} }\r\n',
    rb'{"event":"charge\u002esuccess","data":{"reference":"c\u002d1","name":"\u00c9\/\ud83d\ude00"}}',
    '{"data":{"reference":"c-1","name":"Ọbí"},"event":"charge.success"}'.encode(),
    b'{"event":"charge.success","data":{"reference":"c-1","fees":1e3,"ratio":0.10000000000000001}}',
]


@pytest.mark.parametrize("body", ODD_BODIES)
@pytest.mark.parametrize("key", ["sk_test_0123456789abcdef", PREVIOUS_KEY])
def test_the_signature_is_over_the_bytes_as_they_came(
    paystack: PaystackStandIn, body: bytes, key: str
) -> None:
    callback = provider.verify(body, {"x-paystack-signature": signature_of(body, key)})
    assert callback is not None
    assert (callback.kind, callback.reference) == ("charge.success", "c-1")
    rewritten = json.dumps(json.loads(body)).encode()
    assert rewritten != body
    assert provider.verify(rewritten, {"x-paystack-signature": signature_of(body, key)}) is None


@pytest.mark.parametrize("signature", ["", "0" * 128, "é", signature_of(ODD_BODIES[0], "another key")])
def test_a_forged_webhook_is_refused(paystack: PaystackStandIn, signature: str) -> None:
    assert provider.verify(ODD_BODIES[0], {"x-paystack-signature": signature}) is None
    assert provider.verify(ODD_BODIES[0], {}) is None


def test_no_key_signs_nothing(settings: Any) -> None:
    settings.PAYSTACK_SECRET_KEY = settings.PAYSTACK_SECRET_KEY_PREVIOUS = ""
    body = ODD_BODIES[0]
    assert provider.verify(body, {"x-paystack-signature": signature_of(body, "")}) is None


@pytest.mark.parametrize(
    ("data", "reference"),
    [
        ({"reference": "p-1"}, "p-1"),
        ({"transaction_reference": "c-1", "status": "processed"}, "c-1"),  # refund.*
        ({"id": 1, "transaction": {"reference": "c-1"}}, "c-1"),  # charge.dispute.*
        ({"reference": "with space"}, ""),
        ({"reference": "\0"}, ""),
        ({"reference": {"a": 1}}, ""),
        ("text", ""),
    ],
)
def test_the_reference_of_a_webhook(paystack: PaystackStandIn, data: Any, reference: str) -> None:
    body = json.dumps({"event": "anything", "data": data}).encode()
    callback = provider.verify(body, {"x-paystack-signature": signature_of(body)})
    assert isinstance(callback, Callback)
    assert callback.reference == reference


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"event": 1.5}', b"\xff", b"[" * 5_000])
def test_a_signed_body_that_is_no_webhook_is_malformed(paystack: PaystackStandIn, body: bytes) -> None:
    with pytest.raises(Malformed):
        provider.verify(body, {"x-paystack-signature": signature_of(body)})
