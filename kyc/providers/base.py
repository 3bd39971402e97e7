"""The interface of a provider: it checks a case, returns a verdict, and sends callbacks.

A provider must not use the database, loop, sleep or log: kyc/providers/work.py does that for all of them,
outside any transaction. Personal data is hidden in repr.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from django.conf import settings

from core.outcomes import Accepted, Rejected, RetryLater


class Result(StrEnum):
    """The result of a check. A provider that is not certain returns UNCLEAR."""

    APPROVED = "approved"
    REJECTED = "rejected"
    UNCLEAR = "unclear"  # a reviewer has to decide
    PENDING = "pending"  # not known yet


@dataclass(frozen=True, slots=True)
class Image:
    content: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """All data that a provider gets."""

    reference: str  # our id of the job; two submissions with one reference must not create two jobs
    document_type: str  # kyc.models.DocumentType
    country: str  # ISO 3166-1 alpha-2
    number: str = field(repr=False)
    images: Mapping[str, Image] = field(repr=False)  # by side: front, back, selfie
    callback_url: str = ""


@dataclass(frozen=True, slots=True)
class StartOver:
    """The provider has an incomplete job with this reference: submit again with a new reference."""

    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The provider's current result of a job.

    `number` and `name`: as the provider read them on the document, or "". `number_was_looked_up`: the
    provider looked up the number that we sent, so there is no number to compare.
    """

    result: Result
    text: str
    provider_reference: str = ""
    number: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    number_was_looked_up: bool = False


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback with a valid signature: its id, and our reference of its job."""

    event_id: str
    reference: str


class Malformed(Exception):
    """The body is not a callback of this provider. The message does not quote the body."""


Submission = Accepted | StartOver | RetryLater | Rejected


class Provider(ABC):
    """One provider. Subclasses read their address and key from Django's settings when called."""

    name: ClassVar[str]  # in settings, metrics, rows and the webhook's address
    label: ClassVar[str]  # for pages and messages
    is_asked: ClassVar[bool] = True
    variables: ClassVar[tuple[str, ...]] = ()  # the settings that it requires

    def is_configured(self) -> bool:
        """Returns whether the provider's settings are set."""
        return all(getattr(settings, name) for name in self.variables)

    @abstractmethod
    def submit(self, facts: CheckFacts) -> Submission:
        """Submits the job. Must be idempotent for one reference, because it is repeated after a crash."""

    @abstractmethod
    def fetch(self, *, reference: str, document_type: str) -> Verdict | RetryLater:
        """Requests the job's current state from the provider. Callbacks only trigger this request."""

    @abstractmethod
    def verify(self, body: bytes, headers: Mapping[str, str]) -> Callback | None:
        """Returns the callback in `body`, or None if its signature is wrong. Raises Malformed."""

    def secrets(self) -> tuple[str, ...]:
        """Returns texts that must be removed from the provider's texts before they are stored."""
        return ()
