"""What a provider is: it is asked about a case, says what it found out, and calls back.

A provider never touches the database, loops, sleeps or logs. kyc/providers/work.py does that once for all of
them, outside any transaction. What it is given of a person stays out of every repr.
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
    """What a provider says of a document and its holder. Whatever is not certain is UNCLEAR."""

    APPROVED = "approved"
    REJECTED = "rejected"
    UNCLEAR = "unclear"  # a person has to look
    PENDING = "pending"  # not known yet


@dataclass(frozen=True, slots=True)
class Image:
    content: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """All that a provider is told."""

    reference: str  # our name of the job; asking twice with one reference must not make two jobs
    document_type: str  # kyc.models.DocumentType
    country: str  # ISO 3166-1 alpha-2
    number: str = field(repr=False)
    images: Mapping[str, Image] = field(repr=False)  # by side: front, back, selfie
    callback_url: str = ""


@dataclass(frozen=True, slots=True)
class StartOver:
    """The provider has half a job of this reference, which can't be completed: ask with a new reference."""

    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the provider knows of a job now. `number` and `name`: as the provider read them, "" if it did not.

    `number_was_looked_up`: the verdict is about the number that we sent, so there is none to compare.
    """

    result: Result
    text: str
    provider_reference: str = ""
    number: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    number_was_looked_up: bool = False


@dataclass(frozen=True, slots=True)
class Callback:
    """A genuine callback: its id, and our reference of the job that it is about."""

    event_id: str
    reference: str


class Malformed(Exception):
    """A callback that is none of this provider's; the message quotes nothing of it."""


Submission = Accepted | StartOver | RetryLater | Rejected


class Provider(ABC):
    """One provider. Subclasses read their address and key from Django's settings when called."""

    name: ClassVar[str]  # in settings, metrics, rows and the webhook's address
    label: ClassVar[str]  # for people
    is_asked: ClassVar[bool] = True
    variables: ClassVar[tuple[str, ...]] = ()  # the settings without which it can't be asked

    def is_configured(self) -> bool:
        """Returns whether the provider's settings are set."""
        return all(getattr(settings, name) for name in self.variables)

    @abstractmethod
    def submit(self, facts: CheckFacts) -> Submission:
        """Hands the job in. Asked again with the same reference after a crash, it makes no second job."""

    @abstractmethod
    def fetch(self, *, reference: str, document_type: str) -> Verdict | RetryLater:
        """The job's present state from the provider itself. Callbacks are only a reason to ask."""

    @abstractmethod
    def verify(self, body: bytes, headers: Mapping[str, str]) -> Callback | None:
        """The callback in `body`; None when its signature is wrong. Raises Malformed."""

    def secrets(self) -> tuple[str, ...]:
        """What must not be stored, wherever the provider repeats it."""
        return ()
