"""Reads what the stand-ins of Slack and PagerDuty received, as (number of the alert, trigger or resolve)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from observability.tests.payloads import alert, body
from observability.tests.vendors import Vendor

Notification = tuple[int, str]
SUMMARY = re.compile(r"Errors on web-(\d+)")


def notification_in(message: dict[str, Any]) -> Notification:
    """Returns what a vendor's message says about an alert of observability/tests/payloads.py."""
    if "dedup_key" in message:
        return int(message["dedup_key"].split("-")[1], 16), message["event_action"]
    found = SUMMARY.search(message["text"])
    assert found is not None, message["text"]
    return int(found[1]), "resolve" if "RESOLVED" in message["text"] else "trigger"


def notifications(vendor: Vendor) -> list[Notification]:
    return [notification_in(message) for message in vendor.bodies()]


def triggers(numbers: Iterable[int]) -> set[Notification]:
    return {(number, "trigger") for number in numbers}


def lost(vendor: Vendor, expected: set[Notification]) -> set[Notification]:
    return expected - set(notifications(vendor))


def duplicates(vendor: Vendor) -> int:
    """Counts the messages that repeat an earlier one."""
    return sum(count - 1 for count in Counter(notifications(vendor)).values())


def firing(numbers: Iterable[int], **changes: Any) -> bytes:
    return body(*(alert(number, **changes) for number in numbers))


def resolved(numbers: Iterable[int]) -> bytes:
    return firing(numbers, status="resolved")
