"""No provider: people look at every case from the start."""

from __future__ import annotations

from collections.abc import Mapping

from core.outcomes import Rejected, RetryLater
from kyc.providers.base import Callback, CheckFacts, Malformed, Provider, Verdict


class Manual(Provider):
    name = "manual"
    label = "Manual"
    is_asked = False

    def submit(self, facts: CheckFacts) -> Rejected:
        return Rejected("Nobody is asked: people look at this case.")

    def fetch(self, *, reference: str, document_type: str) -> Verdict | RetryLater:
        return RetryLater(None, "Nobody was asked.")

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Callback | None:
        raise Malformed("Nobody calls back.")
