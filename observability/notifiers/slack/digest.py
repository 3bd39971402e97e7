"""Builds the Slack message of a digest: many alerts in one message, each of them named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from observability.notifiers.base import Message
from observability.notifiers.severity import EMOJI, worst
from observability.notifiers.slack import blocks
from observability.notifiers.slack.blocks import Block
from observability.notifiers.slack.dates import date
from observability.notifiers.slack.groups import (
    PREFERRED,
    Group,
    fingerprint_of,
    grouped,
    identifies,
    shared_by_all,
)
from observability.notifiers.text import utf16_length

NAME_LIMIT = 80
PAIR_LIMIT = 60
URL_LIMIT = 500
MOST_SHARED_LABELS = 4
# Header, context, link and the note on the rest need up to five others.
MOST_SECTIONS = blocks.MOST_BLOCKS - 5
STATUS_EMOJI = {"resolved": "✅ ", "unconfirmed": "❔ ", "ended": "❔ "}
# capacity() is exact to within this many alerts.
STEP = 4
# capacity() always leaves room for the note that says how many alerts are not named.
MOST_NOT_NAMED = 10**6


def payload_for(message: Message) -> dict[str, Any]:
    """Returns the body of the message: alerts with the labels they share, or in the short form if many.

    Alerts beyond capacity() are counted, not named.
    """
    for lean in (False, True):
        payload = _fitting(message, lean=lean)
        if payload is not None:
            return payload
    room = capacity(message)
    more = message.more + len(message.alerts) - room
    return _payload(replace(message, alerts=message.alerts[:room], more=more), lean=True)


def capacity(message: Message) -> int:
    """Returns how many of the alerts, from the first on, one digest can name.

    Alerts that are sorted by name need fewer digests. The result is stable: a digest of that many alerts has
    the same capacity.
    """
    count = len(message.alerts)
    if count <= 1 or _fits(message, count):
        return count
    fits, too_many = 1, 2
    while too_many < count and _fits(message, too_many):
        fits, too_many = too_many, too_many * 2
    too_many = min(too_many, count)
    while too_many - fits > STEP:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if _fits(message, middle) else (fits, middle)
    return fits


def _fits(message: Message, count: int) -> bool:
    named = replace(message, alerts=message.alerts[:count], more=MOST_NOT_NAMED)
    return _fitting(named, lean=True) is not None


def _fitting(message: Message, *, lean: bool) -> dict[str, Any] | None:
    payload = _payload(message, lean=lean)
    if len(payload["blocks"]) > blocks.MOST_BLOCKS or blocks.size(payload) > blocks.MESSAGE_LIMIT:
        return None
    return payload


def _payload(message: Message, *, lean: bool) -> dict[str, Any]:
    headline = title(message)
    shared = {} if lean else shared_by_all(message.alerts)
    paragraphs = (_paragraph(group, shared, lean=lean) for group in grouped(message.alerts, lean=lean))
    parts = [blocks.header(headline), blocks.context(_context(message, shared))]
    parts += [blocks.section(blocks.mrkdwn(text)) for text in _sections(paragraphs)]
    address = blocks.link(message.console_url, "All of them in Amani", URL_LIMIT)
    if address:
        parts.append(blocks.section(blocks.mrkdwn(address)))
    text = blocks.inert(f"{headline} on {message.environment}", 2 * blocks.HEADER_LIMIT)
    return blocks.payload(text, parts)


def title(message: Message) -> str:
    """Returns the most severe severity, and how many alerts fire, have an unconfirmed end, no longer fire
    without being seen to recover, and are resolved."""
    severity = worst([alert.severity for alert in message.alerts])
    unconfirmed = sum(alert.status == "unconfirmed" for alert in message.alerts)
    resolved = sum(alert.status == "resolved" for alert in message.alerts)
    ended = sum(alert.status == "ended" for alert in message.alerts)
    firing = len(message.alerts) - resolved - unconfirmed - ended
    all_counts = (
        (firing, "firing"),
        (unconfirmed, "with an unconfirmed end"),
        (ended, "no longer firing, not seen to recover"),
        (resolved, "resolved"),
    )
    counts = [f"{count} {status}" for count, status in all_counts if count]
    first, _, rest = counts[0].partition(" ")
    counts[0] = f"{first} {_alerts(int(first))} {rest}"
    if firing:
        status = f"{EMOJI[severity]} {severity.upper()}"
    elif unconfirmed:
        status = f"❔ END NOT CONFIRMED ({severity})"
    else:
        status = f"❔ NO LONGER FIRING ({severity})" if ended else f"✅ RESOLVED ({severity})"
    test = "🧪 TEST, " if all(alert.is_test for alert in message.alerts) else ""
    return f"{test}{status}: {', '.join(counts)}"


def _alerts(count: int) -> str:
    return "alert" if count == 1 else "alerts"


def _context(message: Message, shared: dict[str, str]) -> list[Block]:
    oldest = min(alert.starts_at for alert in message.alerts)
    elements = [
        blocks.plain(f"Environment: {message.environment}", NAME_LIMIT + 20),
        blocks.mrkdwn(f"The oldest since {date(oldest)}"),
    ]
    if shared:
        elements.append(blocks.mrkdwn(f"All with {_pairs(shared)}"))
    unknown = sum(alert.severity_is_unknown for alert in message.alerts)
    if unknown:
        elements.append(blocks.plain(f"Severity unknown: {unknown} of them, see Amani", NAME_LIMIT))
    escalated = sum(bool(alert.escalation) for alert in message.alerts)
    if escalated:
        elements.append(blocks.plain(f"Not acknowledged in time: {escalated} of them", NAME_LIMIT))
    if message.resolved_before_notified:
        elements.append(blocks.plain("Some were resolved before a notification was sent", NAME_LIMIT))
    if message.more:
        elements.append(
            blocks.plain(f"… and {message.more} more {_alerts(message.more)}, not named here", NAME_LIMIT)
        )
    return elements


def _pairs(labels: dict[str, str]) -> str:
    shown = [
        blocks.code(f"{name}={value}", PAIR_LIMIT)
        for name, value in list(labels.items())[:MOST_SHARED_LABELS]
    ]
    return " ".join(shown) + (" …" if len(labels) > MOST_SHARED_LABELS else "")


def _paragraph(group: Group, shared: dict[str, str], *, lean: bool) -> tuple[str, tuple[str, ...]]:
    """Returns a group's heading and its items."""
    prefix = f"{STATUS_EMOJI.get(group.status, '')}{'TEST ' if group.is_test else ''}"
    name = f"{prefix}{blocks.bold(group.alertname, NAME_LIMIT)}"
    if not group.items:
        return f"{name}{_subject_of_single(group)}", ()
    own = {key: value for key, value in group.shared.items() if key not in shared}
    labels = "" if lean or not own else f" {_pairs(own)}"
    runbook = "" if lean else blocks.link(group.alerts[0].runbook_url, "Runbook", URL_LIMIT)
    return (
        f"{name} ({len(group.items)}){labels}{_distinguished_by(group)}{' ' + runbook if runbook else ''}: ",
        group.items,
    )


def _subject_of_single(group: Group) -> str:
    """Returns the label that says what the only alert of a group is about, or its fingerprint."""
    value = next((group.shared[name] for name in PREFERRED if group.shared.get(name)), "")
    parts = [blocks.code(value, PAIR_LIMIT)] if value else []
    if not identifies(value or group.alertname):
        parts.append(blocks.code(fingerprint_of(group.alerts[0]), PAIR_LIMIT))
    return "".join(f" {text}" for text in parts)


def _distinguished_by(group: Group) -> str:
    """Returns the labels whose values the items show, with the text left out around each value."""
    if not group.distinguished_by:
        return ""
    names = [
        blocks.code(f"{name}={start}…{end}", NAME_LIMIT) if start or end else blocks.bold(name, PAIR_LIMIT)
        for name, (start, end) in list(group.distinguished_by.items())[:MOST_SHARED_LABELS]
    ]
    return f" by {', '.join(names)}"


def _sections(paragraphs: Iterable[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Returns the paragraphs in sections of Slack's length.

    A long list of items continues in the next one.
    """
    sections = [""]
    for heading, items in paragraphs:
        _begin(sections, heading, items[0] if items else "")
        for index, item in enumerate(items):
            _add(sections, item, first=index == 0)
        if items:
            sections[-1] += "`"
    return sections


def _begin(sections: list[str], heading: str, first_item: str) -> None:
    separator = "\n" if sections[-1] else ""
    if _room(sections[-1]) < utf16_length(separator + heading + first_item) + 2:
        sections.append(heading)
    else:
        sections[-1] += separator + heading


def _add(sections: list[str], item: str, *, first: bool) -> None:
    """Adds an item to the code span of its group: one span for all items takes two characters, not two
    each."""
    if first:
        sections[-1] += f"`{item}"
    elif _room(sections[-1]) < utf16_length(item) + 3:
        sections[-1] += "`"
        sections.append(f"`{item}")
    else:
        sections[-1] += f", {item}"


def _room(text: str) -> int:
    return blocks.SECTION_LIMIT - utf16_length(text)
