"""Notifies through Slack's incoming webhook: one URL for one channel.

Its responses are documented in Slack's changelog of 2016-05-17.
"""

from __future__ import annotations

import json
from typing import ClassVar
from urllib.parse import urlsplit

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
from observability.notifiers.slack.digest import capacity
from observability.notifiers.slack.format import payload_for

# Responses with status 400 that are about this message only. Any other rejection is about the channel.
ERRORS_OF_THE_MESSAGE = (
    "invalid_payload",
    "invalid_blocks",
    "no_text",
    "msg_too_long",
    "too_many_attachments",
)


class Slack(Notifier):
    """Slack takes every kind of message, digests included."""

    name: ClassVar[str] = "slack"
    label: ClassVar[str] = "Slack"
    handles: ClassVar[frozenset[Kind]] = frozenset(Kind)
    variables: ClassVar[tuple[str, ...]] = ("SLACK_WEBHOOK_URL",)
    address_variable: ClassVar[str] = "SLACK_WEBHOOK_URL"

    def request_for(self, message: Message) -> OutgoingRequest:
        return OutgoingRequest(url=settings.SLACK_WEBHOOK_URL, json=payload_for(message))

    def meaning_of(self, response: VendorResponse) -> Outcome:
        status, body = response.status, response.body.strip()
        reason = reason_of(status, body, self.secrets())
        if status == 200:
            return Delivered() if _is_ok(body) else RetryLater(None, f"{reason} (expected: ok)")
        if status in (408, 425, 429) or status >= 500:
            return RetryLater(seconds_to_wait(response.headers, response.body), reason)
        is_about_message = status == 413 or (status == 400 and body.startswith(ERRORS_OF_THE_MESSAGE))
        return Rejected(reason, flags_channel=not is_about_message)

    def secrets(self) -> tuple[str, ...]:
        """Returns the URL, which is the credential, and its path, which is enough to rebuild it."""
        url = settings.SLACK_WEBHOOK_URL
        path = urlsplit(url).path
        parts = (url, path, path.removeprefix("/services/"), path.rpartition("/")[2])
        return tuple(part for part in dict.fromkeys(parts) if len(part.strip("/")) >= 8)

    def pace(self) -> Pace:
        """Returns a pace slightly below Slack's documented limit of one message a second for each channel.

        The network can shorten the time between two messages, and a 429 costs a second.
        """
        rate = settings.SLACK_MESSAGES_PER_SECOND
        return Pace(interval=1.05 / rate) if rate > 0 else Pace()

    def digest_capacity(self, message: Message) -> int:
        return capacity(message)


def _is_ok(body: str) -> bool:
    """Whether the body of a 200 confirms the message.

    Slack answers exactly `ok`; chat servers with Slack's format answer `{"success": true}`. Another body
    comes from a system in between (a proxy's login page) or reports an error (`{"ok": false}`,
    grafana/oncall#5204): the message was not taken, and a later attempt may succeed.
    """
    if body == "ok":
        return True
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(answer, dict) and (answer.get("ok") is True or answer.get("success") is True)
