"""What a notifier is: it words a message for one vendor and says what the vendor's answer means.

A notifier is pure at both ends. It never sends, loops, sleeps, logs or touches the database:
`alerts.delivery` does that once for all of them, with `notifiers.http`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from django.conf import settings

from core import outcomes
from core.outcomes import Delivered as Delivered  # part of what a notifier needs
from core.outcomes import RetryLater as RetryLater


class Kind(StrEnum):
    """Why somebody is told something."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    UNCONFIRMED = "unconfirmed"  # Alertmanager reports its end, and Prometheus cannot be asked
    DIGEST = "digest"  # many alerts in one message


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """One alert as plain data. Every string may be hostile: labels come from whoever can reach Prometheus."""

    alertname: str
    severity: str  # critical | error | warning | info
    status: str  # firing | unconfirmed | resolved | notice (a one-off message)
    summary: str
    description: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None
    fingerprint: str
    dedup_key: str
    generator_url: str  # the expression's graph in Prometheus
    runbook_url: str
    console_url: str  # the alert in Amani's admin
    acknowledged_by: str = ""
    severity_is_unknown: bool = False  # labels["severity"] says what no table knows; `severity` stands in
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be said on one channel: one alert, or several for a digest."""

    kind: Kind
    alerts: tuple[AlertFacts, ...]
    environment: str
    resolved_before_notified: bool = False  # it fired and was resolved before a notification was sent
    more: int = 0  # alerts of the same storm that this message does not name
    console_url: str = ""  # for a digest: its alerts' list in Amani's admin

    @property
    def alert(self) -> AlertFacts:
        """The alert of a message that is not a digest."""
        return self.alerts[0]


@dataclass(frozen=True, slots=True)
class Rejected(outcomes.Rejected):
    """The vendor will never take this message. `flags_channel`: nor another, until the channel is mended."""

    flags_channel: bool


Outcome = Delivered | RetryLater | Rejected


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One POST of JSON. Its parts stay out of the repr: they are where vendors want their secrets."""

    url: str = field(repr=False)
    json: dict[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class VendorResponse:
    """What came back. `body` is the beginning of the answer only (see `http.BODY_LIMIT_BYTES`)."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pace:
    """At most one message every `interval` seconds on average, `burst` of them at once. 0 s: no limit."""

    interval: float = 0.0
    burst: int = 1


class Notifier(ABC):
    """One vendor. Subclasses read their address and key from Django's settings when called, not at import."""

    name: ClassVar[str]  # in settings, metrics and rows: "slack"
    label: ClassVar[str]  # in the admin: "Slack"
    handles: ClassVar[frozenset[Kind]]
    variables: ClassVar[tuple[str, ...]]  # the settings that switch it on: ("SLACK_WEBHOOK_URL",)
    address_variable: ClassVar[str]  # the setting with the address that it posts to
    # It has a state for each dedup_key, so there is nothing to resolve there if nothing was triggered.
    keeps_incidents: ClassVar[bool] = False

    def is_configured(self) -> bool:
        """Return whether there is an address and a key to send with."""
        return all(getattr(settings, name) for name in self.variables)

    @abstractmethod
    def request_for(self, message: Message) -> OutgoingRequest:
        """The request that says `message`, within every limit of the vendor, whatever the alerts contain."""

    @abstractmethod
    def meaning_of(self, response: VendorResponse) -> Outcome:
        """What the vendor's answer says about the message and the channel."""

    @abstractmethod
    def secrets(self) -> tuple[str, ...]:
        """Return what must never be stored, logged or sent elsewhere. The scrubber knows it by sight."""

    def pace(self) -> Pace:
        """Return how fast the vendor takes messages of this channel."""
        return Pace()

    def page(self) -> str:
        """Return the address of the vendor's own page about this channel; empty if it is not known."""
        return ""

    def digest_capacity(self, message: Message) -> int:
        """How many of the digest's alerts, from the first on, it names when sent: at least 1 of any.

        `request_for` names all of them when it is given no more than these.
        """
        return min(1, len(message.alerts))
