"""Notifies through PagerDuty's Events API v2, and reads its responses 202, 400 and 429."""

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

# PagerDuty's documentation of its limits: after a 429, wait 30 seconds between attempts.
WAIT_AFTER_429_SECONDS = 30.0


class PagerDuty(Notifier):
    """PagerDuty gets one incident for each episode, and no digests. A one-off message is an incident, too.

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
        status, body = response.status, response.body.strip()
        if status == 202:
            return Delivered()
        reason = reason_of(status, body, self.secrets())
        if status == 429:
            return RetryLater(
                max(seconds_to_wait(response.headers, response.body) or 0.0, WAIT_AFTER_429_SECONDS), reason
            )
        if status in (408, 425) or status >= 500:
            return RetryLater(seconds_to_wait(response.headers, response.body), reason)
        if 200 <= status < 300:
            # PagerDuty answers 202; this response is from a proxy. The dedup_key makes another attempt safe.
            return RetryLater(None, f"{reason} (expected: 202)")
        is_about_message = status == 413 or (status == 400 and not _is_about_key(body))
        return Rejected(reason, flags_channel=not is_about_message)

    def pace(self) -> Pace:
        """Returns a pace of at most `PAGERDUTY_EVENTS_PER_MINUTE` events in any 60 seconds.

        A twelfth of them may be sent as a burst.
        """
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


def _is_about_key(body: str) -> bool:
    """Whether a 400 is about the routing key: `{"errors": ["'routing_key' is invalid"], …}`."""
    lowered = body.lower().replace("_", " ")
    return "routing key" in lowered or "service key" in lowered
