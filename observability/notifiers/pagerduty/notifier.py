"""PagerDuty's Events API v2: what is sent, and what 202, 400 and 429 mean."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import quote

from django.conf import settings

from core.outgoing import reason_of, seconds_to_wait
from observability.notifiers.base import (
    Delivered,
    Kind,
    Message,
    Notifier,
    Outcome,
    OutgoingRequest,
    Pace,
    Rejected,
    RetryLater,
    VendorResponse,
)
from observability.notifiers.pagerduty.format import event_for

# PagerDuty's page on limits: after a 429 try again, 30 seconds apart.
WAIT_AFTER_429_SECONDS = 30.0


class PagerDuty(Notifier):
    """One page per episode, so digests are not for PagerDuty. A one-off message is a page of its own.

    An unconfirmed end is not sent: the incident stays open until the end is confirmed.
    """

    name: ClassVar[str] = "pagerduty"
    label: ClassVar[str] = "PagerDuty"
    handles: ClassVar[frozenset[Kind]] = frozenset(Kind) - {Kind.DIGEST, Kind.UNCONFIRMED}
    keeps_incidents: ClassVar[bool] = True
    variables: ClassVar[tuple[str, ...]] = ("PAGERDUTY_API_KEY",)
    address_variable: ClassVar[str] = "PAGERDUTY_EVENTS_URL"

    def request_for(self, message: Message) -> OutgoingRequest:
        event = event_for(message, routing_key=settings.PAGERDUTY_API_KEY)
        return OutgoingRequest(url=settings.PAGERDUTY_EVENTS_URL, json=event)

    def meaning_of(self, response: VendorResponse) -> Outcome:
        status, said = response.status, response.body.strip()
        reason = reason_of(status, said, self.secrets())
        if status == 202:
            return Delivered()
        if status == 429:
            return RetryLater(
                max(seconds_to_wait(response.headers, response.body) or 0.0, WAIT_AFTER_429_SECONDS), reason
            )
        if status in (408, 425) or status >= 500:
            return RetryLater(seconds_to_wait(response.headers, response.body), reason)
        if 200 <= status < 300:
            # Not PagerDuty's 202: a proxy or a portal answered. The dedup_key makes another try harmless.
            return RetryLater(None, f"{reason} (PagerDuty answers 202)")
        our_fault = status == 413 or (status == 400 and not _names_the_key(said))
        return Rejected(reason, flags_channel=not our_fault)

    def pace(self) -> Pace:
        """At most `PAGERDUTY_EVENTS_PER_MINUTE` in any 60 seconds, a burst of a twelfth of them included."""
        limit = settings.PAGERDUTY_EVENTS_PER_MINUTE
        if limit <= 0:
            return Pace()
        burst = max(1, int(limit // 12))
        return Pace(interval=60 / max(limit - burst, 1), burst=burst)

    def page(self) -> str:
        """Return the service's page, where PAGERDUTY_SERVICE_ID names it."""
        service = quote(settings.PAGERDUTY_SERVICE_ID, safe="")
        return f"https://app.pagerduty.com/service-directory/{service}" if service else ""

    def secrets(self) -> tuple[str, ...]:
        key = settings.PAGERDUTY_API_KEY
        return (key,) if key else ()


def _names_the_key(said: str) -> bool:
    """`{"status": "invalid event", "errors": ["'routing_key' is invalid"]}` is a 400 like any other."""
    lowered = said.lower().replace("_", " ")
    return "routing key" in lowered or "service key" in lowered
