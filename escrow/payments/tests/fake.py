"""A provider in this process, for tests with hundreds of requests: it moves money, and fails on request."""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from core.outcomes import Rejected, RetryLater
from escrow.payments.base import (
    Callback,
    Checkout,
    Collecting,
    CollectionAnswer,
    CollectionFacts,
    CollectionSeen,
    CollectionStatus,
    Malformed,
    NotFound,
    Paying,
    PayoutAnswer,
    PayoutFacts,
    PayoutSeen,
    PayoutStatus,
    Provider,
    Unknown,
)

# What can happen to a request that sends money, and whether the money leaves.
TEXT = re.compile(r"[!-~]{1,64}")
T = TypeVar("T")
WITHOUT_AN_ANSWER = ("lost", "done_without_answer")
PAYING = ("ok", "later", "refused", *WITHOUT_AN_ANSWER)


@dataclass
class Transfer:
    reference: str
    amount_minor: int
    currency: str
    status: PayoutStatus = PayoutStatus.SENT
    text: str = ""


class FakeProvider(Provider):
    """`paying` and `asking`: what happens to the next requests; then they work."""

    name = "sandbox"  # one of the names that metrics know
    label = "Fake"
    pays_a_reference_once = True

    def __init__(self) -> None:
        self.transfers: dict[str, Transfer] = {}
        self.paid: Counter[str] = Counter()  # how often money left for a reference
        self.sent: list[str] = []  # the references of all requests to pay
        self.paying: deque[str] = deque()
        self.asking: deque[str] = deque()
        self.first_status = PayoutStatus.SENT
        self.collections: dict[str, CollectionSeen] = {}

    def is_configured(self) -> bool:
        return True

    def collect(self, facts: CollectionFacts) -> Collecting:
        return self.on_request(self.paying, lambda: self.open(facts))

    def open(self, facts: CollectionFacts) -> Checkout:
        seen = CollectionSeen(CollectionStatus.OPEN, facts.reference, 0, facts.currency)
        self.collections.setdefault(facts.reference, seen)
        return Checkout(f"https://pay.example/{facts.reference}", "fake-id")

    def ask_collection(self, reference: str) -> CollectionAnswer:
        if self.asking and self.asking.popleft() == "no_answer":
            return RetryLater(None, "no answer")
        return self.collections.get(reference) or NotFound("not here")

    def pay(self, facts: PayoutFacts) -> Paying:
        self.sent.append(facts.reference)
        outcome: Paying = self.on_request(self.paying, lambda: self.transfer(facts))
        return outcome

    def on_request(self, script: deque[str], work: Callable[[], T]) -> T | RetryLater | Rejected | Unknown:
        match script.popleft() if script else "ok":
            case "later":
                return RetryLater(None, "not now")
            case "refused":
                return Rejected("refused")
            case "lost":
                return Unknown("no answer")
            case "done_without_answer":
                work()
                return Unknown("no answer")
            case _:
                return work()

    def transfer(self, facts: PayoutFacts) -> PayoutSeen:
        known = self.transfers.get(facts.reference)
        if known is None:
            known = Transfer(facts.reference, facts.amount_minor, facts.currency, self.first_status)
            self.transfers[facts.reference] = known
            self.paid[facts.reference] += 1
        return seen(known)

    def ask_payout(self, reference: str) -> PayoutAnswer:
        if self.asking and self.asking.popleft() == "no_answer":
            return RetryLater(None, "no answer")
        known = self.transfers.get(reference)
        return seen(known) if known else NotFound("not here")

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Callback | None:
        if headers.get("X-Fake") != "genuine":
            return None
        try:
            content = json.loads(body)
            named = Callback(content["id"], content["kind"], content["reference"])
            texts = (named.event_id, named.kind, named.reference)
            is_plain = all(TEXT.fullmatch(text) for text in texts)
        except (ValueError, KeyError, TypeError) as problem:
            raise Malformed("no webhook") from problem
        if not is_plain:
            raise Malformed("no webhook")
        return named


def seen(transfer: Transfer) -> PayoutSeen:
    return PayoutSeen(
        transfer.status,
        transfer.reference,
        transfer.amount_minor,
        transfer.currency,
        "fake-id",
        transfer.text or transfer.status.value,
    )
