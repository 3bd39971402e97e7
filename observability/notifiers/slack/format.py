"""Builds the Slack message of one alert. `digest` builds that of many."""

from __future__ import annotations

from typing import Any

from observability.notifiers.base import AlertFacts, Kind, Message
from observability.notifiers.severity import EMOJI, known_severity, unknown_severity
from observability.notifiers.slack import blocks, digest
from observability.notifiers.slack.blocks import Block
from observability.notifiers.slack.dates import date, duration

NAME_LIMIT = 100
LABEL_LIMIT = 300
SUMMARY_LIMIT = 1000
# Tried in turn until the message is within blocks.MESSAGE_LIMIT.
DESCRIPTION_LIMITS = (2900, 1500, 500)
URL_LIMIT = 1000
TEXT_LIMIT = 500
UNCONFIRMED_END = (
    "Alertmanager no longer mentions it; Prometheus does not answer. "
    "It counts as firing until Prometheus confirms its end."
)
# Shown elsewhere in the message.
NOT_AMONG_THE_FIELDS = frozenset({"alertname", "severity"})
# The labels that help a responder most, in this order; the others follow by name.
FIRST_LABELS = (
    "instance",
    "job",
    "service",
    "endpoint",
    "method",
    "status",
    "queue",
    "task",
    "channel",
    "device",
)


def payload_for(message: Message) -> dict[str, Any]:
    """Returns the body for Slack's incoming webhook. It is within Slack's limits for any input."""
    if message.kind is Kind.DIGEST:
        return digest.payload_for(message)
    for description_limit in DESCRIPTION_LIMITS:
        payload = blocks.payload(_text(message), _blocks(message, description_limit))
        if blocks.size(payload) <= blocks.MESSAGE_LIMIT:
            break
    return payload


def _blocks(message: Message, description_limit: int) -> list[Block]:
    alert = message.alert
    parts: list[Block | None] = [
        blocks.header(title(message)),
        blocks.context(_context(message)),
        _prose(UNCONFIRMED_END, SUMMARY_LIMIT) if message.kind is Kind.UNCONFIRMED else None,
        _prose(alert.ending, SUMMARY_LIMIT) if message.kind is Kind.RESOLVE else None,
        _prose(alert.summary, SUMMARY_LIMIT),
        _prose(alert.description, description_limit),
        _fields(alert),
        _links(alert),
    ]
    return [part for part in parts if part is not None]


def title(message: Message) -> str:
    """Returns emoji, status or severity as a word, and name: the colour is never the only sign."""
    alert = message.alert
    severity = known_severity(alert.severity)
    unknown = "severity unknown" if alert.severity_is_unknown else ""
    in_brackets = ", ".join(filter(None, (severity, unknown)))
    match message.kind:
        case Kind.RESOLVE if alert.status == "ended":
            status = f"❔ NO LONGER FIRING ({in_brackets})"
        case Kind.RESOLVE:
            status = f"✅ RESOLVED ({in_brackets})"
        case Kind.UNCONFIRMED:
            status = f"❔ END NOT CONFIRMED ({in_brackets})"
        case Kind.ACKNOWLEDGE:
            status = f"👀 ACKNOWLEDGED ({in_brackets})"
        case _:
            details = ", ".join(filter(None, (unknown, alert.escalation)))
            status = f"{EMOJI[severity]} {severity.upper()}" + (f" ({details})" if details else "")
    return f"{'🧪 TEST, ' if alert.is_test else ''}{status}: {alert.alertname}"


def _text(message: Message) -> str:
    alert = message.alert
    text = f"{title(message)} on {message.environment}"
    return blocks.inert(f"{text}: {alert.summary}" if alert.summary else text, TEXT_LIMIT)


def _context(message: Message) -> list[Block]:
    alert = message.alert
    elements = [
        blocks.plain(f"Environment: {message.environment}", NAME_LIMIT),
        blocks.mrkdwn(_when(message)),
    ]
    if given := unknown_severity(alert):
        text = f"Severity unknown, handled as {known_severity(alert.severity)}: {' '.join(given.split())}"
        elements.append(blocks.plain(text, NAME_LIMIT))
    if message.kind is Kind.RESOLVE and alert.ends_at is not None:
        elements.append(blocks.plain(f"Lasted {duration(alert.ends_at - alert.starts_at)}", NAME_LIMIT))
    if message.resolved_before_notified:
        elements.append(blocks.plain("It was resolved before a notification was sent", NAME_LIMIT))
    if alert.acknowledged_by:
        elements.append(blocks.plain(f"Acknowledged by {alert.acknowledged_by}", NAME_LIMIT))
    if alert.is_test:
        elements.append(blocks.plain("This is a test: nothing is broken", NAME_LIMIT))
    return elements


def _when(message: Message) -> str:
    alert = message.alert
    if message.kind is Kind.RESOLVE and alert.ends_at is not None:
        return f"From {date(alert.starts_at)} to {date(alert.ends_at)}"
    return f"Since {date(alert.starts_at)}"


def _prose(raw: str, limit: int) -> Block | None:
    text = blocks.plain(raw, limit)
    return blocks.section(text) if text["text"] else None


def _fields(alert: AlertFacts) -> Block | None:
    """Returns at most ten labels; where there are more, the tenth field says how many."""
    names = sorted(set(alert.labels) - NOT_AMONG_THE_FIELDS, key=_importance)
    if not names:
        return None
    shown = names if len(names) <= blocks.MOST_FIELDS else names[: blocks.MOST_FIELDS - 1]
    texts = [blocks.mrkdwn(_field(name, alert.labels[name])) for name in shown]
    if len(shown) < len(names):
        texts.append(blocks.mrkdwn(f"and {len(names) - len(shown)} more labels, in Amani"))
    return blocks.fields(texts)


def _importance(name: str) -> tuple[int, str]:
    return (FIRST_LABELS.index(name) if name in FIRST_LABELS else len(FIRST_LABELS), name)


def _field(name: str, value: str) -> str:
    return f"{blocks.bold(name, NAME_LIMIT)}\n{blocks.code(value, LABEL_LIMIT)}"


def _links(alert: AlertFacts) -> Block | None:
    addresses = (
        (alert.runbook_url, "Runbook"),
        (alert.console_url, "Amani"),
        (alert.generator_url, "Prometheus"),
    )
    links = [blocks.link(url, text, URL_LIMIT) for url, text in addresses]
    line = "  ·  ".join(filter(None, links))
    return blocks.section(blocks.mrkdwn(line)) if line else None
