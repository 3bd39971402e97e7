"""Sends requests to Paystack and interprets its answers and webhooks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from django.conf import settings

from core import outgoing
from core.outcomes import Rejected, RetryLater
from core.outgoing import Answer, DeliveryError
from escrow.payments.answers import (
    json_object,
    not_sent_or_unknown,
    nothing_learned,
    outcome_of_refusal,
    text_of,
)
from escrow.payments.base import (
    Callback,
    Checkout,
    Collecting,
    CollectionAnswer,
    CollectionFacts,
    Malformed,
    NotFound,
    Paying,
    PayoutAnswer,
    PayoutFacts,
    Provider,
    Unknown,
)
from escrow.payments.paystack import format as wording

ANSWER_LIMIT_BYTES = 1024 * 1024
ASK_SECONDS = 15.0
PAY_SECONDS = 30.0
REFERENCE = re.compile(r"[!-~]{1,64}")
SIGNATURE = "x-paystack-signature"


class Paystack(Provider):
    name = "paystack"
    label = "Paystack"
    variables = ("PAYSTACK_SECRET_KEY",)
    # "Retry with the same reference": Paystack continues the first transfer ("Transfers", retries).
    pays_a_reference_once = True

    def secrets(self) -> tuple[str, ...]:
        return (settings.PAYSTACK_SECRET_KEY, settings.PAYSTACK_SECRET_KEY_PREVIOUS)

    def collect(self, facts: CollectionFacts) -> Collecting:
        if facts.currency not in wording.COLLECTED_IN:
            return Rejected(f"Paystack does not collect {facts.currency}.")
        sent = self._post("/transaction/initialize", wording.initialize_request(facts), ASK_SECONDS)
        if not isinstance(sent, Answer):
            return sent
        content = json_object(sent.body)
        url = text_of(wording.data_of(content), "authorization_url")
        if sent.status == HTTPStatus.OK and url:
            return Checkout(url, text_of(wording.data_of(content), "access_code"))
        return self._refusal(sent, content)

    def ask_collection(self, reference: str) -> CollectionAnswer:
        found = self._ask(f"/transaction/verify/{quote(reference, safe='')}")
        return found if isinstance(found, RetryLater | NotFound) else wording.collection_seen(found)

    def pay(self, facts: PayoutFacts) -> Paying:
        """Creates the recipient, which moves nothing, then the transfer with our reference."""
        if facts.currency not in wording.RECIPIENT_TYPES:
            return Rejected(f"Paystack does not pay out {facts.currency}.")
        recipient = self._recipient(facts)
        if not isinstance(recipient, str):
            return recipient
        sent = self._post("/transfer", wording.transfer_request(facts, recipient), PAY_SECONDS)
        if not isinstance(sent, Answer):
            return sent
        content = json_object(sent.body)
        data = wording.data_of(content)
        if sent.status in (HTTPStatus.OK, HTTPStatus.CREATED) and data:
            return wording.payout_seen(data)
        return self._refusal(sent, content)

    def ask_payout(self, reference: str) -> PayoutAnswer:
        found = self._ask(f"/transfer/verify/{quote(reference, safe='')}")
        return found if isinstance(found, RetryLater | NotFound) else wording.payout_seen(found)

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Callback | None:
        """Verifies a webhook. Its id is the hash of the body, because Paystack's webhooks have no id."""
        if not wording.is_signed(body, headers.get(SIGNATURE, ""), self.secrets()):
            return None
        content = json_object(body)
        kind = text_of(content, "event")
        if not REFERENCE.fullmatch(kind):
            raise Malformed("The body is not a JSON object with an event.")
        reference = wording.reference_in(content)
        known = reference if REFERENCE.fullmatch(reference) else ""
        return Callback(event_id=sha256(body).hexdigest(), kind=kind, reference=known)

    def _recipient(self, facts: PayoutFacts) -> str | RetryLater | Rejected:
        request = wording.recipient_request(facts.destination, facts.currency)
        sent = self._post("/transferrecipient", request, ASK_SECONDS)
        if isinstance(sent, Unknown):
            return RetryLater(None, sent.reason)  # no money moved
        if isinstance(sent, RetryLater):
            return sent
        content = json_object(sent.body)
        code = text_of(wording.data_of(content), "recipient_code")
        if sent.status in (HTTPStatus.OK, HTTPStatus.CREATED) and code:
            return code
        refused = outcome_of_refusal(self.label, sent, has_content=wording.is_error(content))
        return RetryLater(None, refused.reason) if isinstance(refused, Unknown) else refused

    def _refusal(self, answer: Answer, content: Mapping[str, Any]) -> RetryLater | Rejected | Unknown:
        outcome = outcome_of_refusal(self.label, answer, has_content=wording.is_error(content))
        if not isinstance(outcome, Rejected):
            return outcome
        if wording.is_about_the_reference(content):
            return Unknown(f"{self.label} has this reference already.")
        if wording.is_about_our_balance(content):
            return RetryLater(None, f"Our balance at {self.label} is too low.")
        return outcome

    def _ask(self, path: str) -> dict[str, Any] | NotFound | RetryLater:
        """Returns `data` of an answer to a question, which moves nothing."""
        try:
            answer = self._send("GET", path, b"", ASK_SECONDS)
        except DeliveryError as problem:
            return RetryLater(None, f"{self.label} does not answer: {problem}")
        content = json_object(answer.body)
        data = wording.data_of(content)
        if answer.status == HTTPStatus.OK and data:
            return data
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND) and wording.is_not_found(content):
            return NotFound(f"{self.label} does not know this reference.")
        return nothing_learned(self.label, answer)

    def _post(self, path: str, content: Mapping[str, Any], seconds: float) -> Answer | RetryLater | Unknown:
        try:
            return self._send("POST", path, json.dumps(content).encode(), seconds)
        except DeliveryError as problem:
            return not_sent_or_unknown(self.label, problem)

    def _send(self, method: str, path: str, body: bytes, seconds: float) -> Answer:
        return outgoing.send(
            method,
            f"{settings.PAYSTACK_BASE_URL}{path}",
            body=body,
            headers={
                "Authorization": f"Bearer {settings.PAYSTACK_SECRET_KEY}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            seconds=seconds,
            limit_bytes=ANSWER_LIMIT_BYTES,
        )
