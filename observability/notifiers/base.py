"""Defines the interface of notifiers. A notifier builds a message for one vendor and interprets its response.

It never sends, loops, sleeps, logs or reads the database: `alerts.delivery` does that for all notifiers.
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
    """What a message is about."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    UNCONFIRMED = "unconfirmed"  # Alertmanager reports its end, and Prometheus does not answer
    DIGEST = "digest"  # many alerts in one message


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """One alert as plain data. No string can be trusted: labels come from any target of Prometheus."""

    alertname: str
    severity: str  # critical | error | warning | info
    # firing | unconfirmed | resolved | ended (over, but not seen to recover) | notice (a one-off message)
    status: str
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
    severity_is_unknown: bool = False  # labels["severity"] has an unknown value; `severity` replaces it
    is_test: bool = False
    unacknowledged_minutes: int | None = None  # for an escalation: how long no operator acknowledged it
    ending: str = ""  # how it ended: the value and the threshold, or what happened instead

    @property
    def escalation(self) -> str:
        """Why an escalation is sent: `not acknowledged for 15 min`; "" for any other message."""
        minutes = self.unacknowledged_minutes
        return f"not acknowledged for {minutes} min" if minutes is not None else ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one channel: about one alert, or about several for a digest."""

    kind: Kind
    alerts: tuple[AlertFacts, ...]
    environment: str
    resolved_before_notified: bool = False  # it fired and was resolved before a notification was sent
    more: int = 0  # for a digest: how many alerts it does not name
    console_url: str = ""  # for a digest: the list of alerts in Amani's admin

    @property
    def alert(self) -> AlertFacts:
        """The alert of a message that is not a digest."""
        return self.alerts[0]


@dataclass(frozen=True, slots=True)
class Rejected(outcomes.Rejected):
    """The vendor will never accept this message.

    `flags_channel`: it will accept no other message either, until an operator corrects the channel.
    """

    flags_channel: bool


Outcome = Delivered | RetryLater | Rejected


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One POST of JSON. Its fields are not in the repr, because they contain the vendor's secrets."""

    url: str = field(repr=False)
    json: dict[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class VendorResponse:
    """The response of a vendor. `body` is only its beginning (see alerts/delivery/send.py)."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pace:
    """At most one message every `interval` seconds on average, `burst` of them together. 0 s: no limit."""

    interval: float = 0.0
    burst: int = 1


class Notifier(ABC):
    """One vendor. Subclasses read address and key from Django's settings when called, not at import."""

    name: ClassVar[str]  # in settings, metrics and rows: "slack"
    label: ClassVar[str]  # in the admin: "Slack"
    handles: ClassVar[frozenset[Kind]]
    variables: ClassVar[tuple[str, ...]]  # the settings that switch it on: ("SLACK_WEBHOOK_URL",)
    address_variable: ClassVar[str]  # the setting with the address that it posts to
    # Whether it has an incident for each dedup_key. Then a resolve is sent only after a trigger.
    keeps_incidents: ClassVar[bool] = False

    def is_configured(self) -> bool:
        """Whether the address and the key to send with are set."""
        return all(getattr(settings, name) for name in self.variables)

    @abstractmethod
    def request_for(self, message: Message) -> OutgoingRequest:
        """Returns the request for `message`. It is within the vendor's limits for any alert."""

    @abstractmethod
    def meaning_of(self, response: VendorResponse) -> Outcome:
        """Returns what the vendor's response means for the message and the channel."""

    @abstractmethod
    def secrets(self) -> tuple[str, ...]:
        """Returns the texts that must never be stored, logged or sent elsewhere; the scrubber hides them."""

    def pace(self) -> Pace:
        """Returns how fast the vendor accepts messages of this channel."""
        return Pace()

    def page(self) -> str:
        """Returns the address of the vendor's own page about this channel; "" if it is not known."""
        return ""

    def digest_capacity(self, message: Message) -> int:
        """Returns how many of the digest's alerts, from the first on, its message can name; at least 1.

        `request_for` names all alerts of a digest that has no more than these.
        """
        return min(1, len(message.alerts))
