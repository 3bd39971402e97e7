"""Sends requests to the sandbox bank and interprets its answers and webhooks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from django.conf import settings

from core import outgoing
from core.outcomes import RetryLater
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
from escrow.payments.sandbox import format as wording

ANSWER_LIMIT_BYTES = 256 * 1024
SECONDS = 10.0
NAME = re.compile(r"[!-~]{1,64}")
ANSWERED = (HTTPStatus.OK, HTTPStatus.CREATED)


class Sandbox(Provider):
    name = "sandbox"
    label = "Sandbox bank"
    variables = ("PAYMENT_SANDBOX_URL", "PAYMENT_SANDBOX_KEY")
    pays_a_reference_once = True

    def is_configured(self) -> bool:
        """Returns whether it may be used: in production only if PAYMENT_SANDBOX_IN_PRODUCTION says so."""
        return super().is_configured() and (settings.DEBUG or settings.PAYMENT_SANDBOX_IN_PRODUCTION)

    def secrets(self) -> tuple[str, ...]:
        return (settings.PAYMENT_SANDBOX_KEY,)

    def collect(self, facts: CollectionFacts) -> Collecting:
        sent = self._post("/api/collections", wording.collection_request(facts))
        if not isinstance(sent, Answer):
            return sent
        content = json_object(sent.body)
        url = text_of(content, "checkout_url")
        if sent.status in ANSWERED and url:
            return Checkout(url, text_of(content, "id"))
        return outcome_of_refusal(self.label, sent, has_content="error" in content)

    def ask_collection(self, reference: str) -> CollectionAnswer:
        found = self._ask("collections", reference)
        return wording.collection_seen(found) if isinstance(found, dict) else found

    def pay(self, facts: PayoutFacts) -> Paying:
        sent = self._post("/api/payouts", wording.payout_request(facts))
        if not isinstance(sent, Answer):
            return sent
        content = json_object(sent.body)
        if sent.status in ANSWERED and "status" in content:
            return wording.payout_seen(content)
        return outcome_of_refusal(self.label, sent, has_content="error" in content)

    def ask_payout(self, reference: str) -> PayoutAnswer:
        found = self._ask("payouts", reference)
        return wording.payout_seen(found) if isinstance(found, dict) else found

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Callback | None:
        if not wording.is_signed(body, headers.get(wording.SIGNATURE, ""), settings.PAYMENT_SANDBOX_KEY):
            return None
        content = json_object(body)
        event_id, kind, reference = (text_of(content, name) for name in ("id", "type", "reference"))
        if not (NAME.fullmatch(event_id) and NAME.fullmatch(kind) and NAME.fullmatch(reference)):
            raise Malformed("The body has no id, type and reference.")
        return Callback(event_id=event_id, kind=kind, reference=reference)

    def _ask(self, kind: str, reference: str) -> dict[str, Any] | NotFound | RetryLater:
        try:
            answer = self._send("GET", f"/api/{kind}/{quote(reference, safe='')}", b"")
        except DeliveryError as problem:
            return RetryLater(None, f"{self.label} does not answer: {problem}")
        content = json_object(answer.body)
        if answer.status == HTTPStatus.OK and "status" in content:
            return content
        if answer.status == HTTPStatus.NOT_FOUND and content.get("error") == "not_found":
            return NotFound(f"{self.label} does not know this reference.")
        return nothing_learned(self.label, answer)

    def _post(self, path: str, content: Mapping[str, Any]) -> Answer | RetryLater | Unknown:
        try:
            return self._send("POST", path, json.dumps(content).encode())
        except DeliveryError as problem:
            return not_sent_or_unknown(self.label, problem)

    def _send(self, method: str, path: str, body: bytes) -> Answer:
        return outgoing.send(
            method,
            f"{settings.PAYMENT_SANDBOX_URL}{path}",
            body=body,
            headers={
                "Authorization": f"Bearer {settings.PAYMENT_SANDBOX_KEY}",
                "Content-Type": "application/json",
            },
            seconds=SECONDS,
            limit_bytes=ANSWER_LIMIT_BYTES,
            by_proxy=False,  # the bank is part of the installation
        )
