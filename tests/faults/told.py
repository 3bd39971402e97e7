"""What the stand-ins of Slack and PagerDuty were told, as (number of the alert, trigger or resolve)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from observability.tests.payloads import alert, body
from observability.tests.vendors import Vendor

Told = tuple[int, str]
SUMMARY = re.compile(r"Errors on web-(\d+)")


def reading(message: dict[str, Any]) -> Told:
    """Both vendors' messages about an alert of observability/tests/payloads.py."""
    if "dedup_key" in message:
        return int(message["dedup_key"].split("-")[1], 16), message["event_action"]
    found = SUMMARY.search(message["text"])
    assert found is not None, message["text"]
    return int(found[1]), "resolve" if "RESOLVED" in message["text"] else "trigger"


def told(vendor: Vendor) -> list[Told]:
    return [reading(message) for message in vendor.bodies()]


def triggers(numbers: Iterable[int]) -> set[Told]:
    return {(number, "trigger") for number in numbers}


def lost(vendor: Vendor, expected: set[Told]) -> set[Told]:
    return expected - set(told(vendor))


def doubled(vendor: Vendor) -> int:
    """Messages beyond the first about the same thing."""
    return sum(count - 1 for count in Counter(told(vendor)).values())


def firing(numbers: Iterable[int], **changes: Any) -> bytes:
    return body(*(alert(number, **changes) for number in numbers))


def resolved(numbers: Iterable[int]) -> bytes:
    return firing(numbers, status="resolved")
