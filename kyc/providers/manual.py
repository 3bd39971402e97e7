"""The provider `manual`: no external provider, reviewers decide on every case."""

from __future__ import annotations

from collections.abc import Mapping

from core.outcomes import Rejected, RetryLater
from kyc.providers.base import Callback, CheckFacts, Malformed, Provider, Verdict


class Manual(Provider):
    name = "manual"
    label = "Manual"
    is_asked = False

    def submit(self, facts: CheckFacts) -> Rejected:
        return Rejected("No provider checks this case. Reviewers decide.")

    def fetch(self, *, reference: str, document_type: str) -> Verdict | RetryLater:
        return RetryLater(None, "No provider checks this case.")

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Callback | None:
        raise Malformed("This provider sends no callbacks.")
