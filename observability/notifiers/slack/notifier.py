"""Slack's incoming webhook: one URL, one channel; what it answers is in Slack's changelog of 2016-05-17."""

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

# 400s that say "this message", not "this channel"; anything else Slack refuses, it will refuse again.
FAULTS_OF_THE_MESSAGE = (
    "invalid_payload",
    "invalid_blocks",
    "no_text",
    "msg_too_long",
    "too_many_attachments",
)


class Slack(Notifier):
    name: ClassVar[str] = "slack"
    label: ClassVar[str] = "Slack"
    handles: ClassVar[frozenset[Kind]] = frozenset(Kind)
    variables: ClassVar[tuple[str, ...]] = ("SLACK_WEBHOOK_URL",)
    address_variable: ClassVar[str] = "SLACK_WEBHOOK_URL"

    def request_for(self, message: Message) -> OutgoingRequest:
        return OutgoingRequest(url=settings.SLACK_WEBHOOK_URL, json=payload_for(message))

    def meaning_of(self, response: VendorResponse) -> Outcome:
        status, said = response.status, response.body.strip()
        reason = reason_of(status, said, self.secrets())
        if status == 200:
            return Delivered() if _says_ok(said) else RetryLater(None, f"{reason} (Slack answers ok)")
        if status in (408, 425, 429) or status >= 500:
            return RetryLater(seconds_to_wait(response.headers, response.body), reason)
        our_fault = status in (400, 413) and (status == 413 or said.startswith(FAULTS_OF_THE_MESSAGE))
        return Rejected(reason, flags_channel=not our_fault)

    def secrets(self) -> tuple[str, ...]:
        """The whole URL is the credential, and its path alone is enough to rebuild it."""
        url = settings.SLACK_WEBHOOK_URL
        path = urlsplit(url).path
        parts = (url, path, path.removeprefix("/services/"), path.rpartition("/")[2])
        return tuple(part for part in dict.fromkeys(parts) if len(part.strip("/")) >= 8)

    def pace(self) -> Pace:
        """Slack's documented limit is one message a second for each channel.

        A little slower, because the network shortens the gap between two messages, and a 429 costs a second.
        """
        rate = settings.SLACK_MESSAGES_PER_SECOND
        return Pace(interval=1.05 / rate) if rate > 0 else Pace()

    def digest_capacity(self, message: Message) -> int:
        return capacity(message)


def _says_ok(said: str) -> bool:
    """Slack's webhook answers exactly `ok`; chat servers that take Slack's format answer `{"success": true}`.

    A 200 with anything else comes from something in between (a proxy's login page, a captive portal) or is an
    error in a success's clothes (`{"ok": false}`, grafana/oncall#5204): nobody was told, and it passes.
    """
    if said == "ok":
        return True
    try:
        answer = json.loads(said)
    except (ValueError, RecursionError):
        return False
    return isinstance(answer, dict) and (answer.get("ok") is True or answer.get("success") is True)
