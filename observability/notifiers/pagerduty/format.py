"""Builds the event of one alert for PagerDuty's Events API v2 (developer docs, events-API-v2/01 to 03)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from observability.notifiers.base import AlertFacts, Kind, Message
from observability.notifiers.links import safe_url
from observability.notifiers.severity import known_severity, unknown_severity
from observability.notifiers.text import ELLIPSIS, clean, fitted, utf16_length

SUMMARY_LIMIT = 1024
DEDUP_KEY_LIMIT = 255
SOURCE_LIMIT = 255
URL_LIMIT = 2000
NAME_LIMIT = 255
# An event may have 512,000 bytes. Without labels, annotations and description it stays below 30,000.
LABELS_BYTES = 200_000
ANNOTATIONS_BYTES = 200_000
DESCRIPTION_BYTES = 50_000
VALUE_BYTES = 20_000

ACTIONS = {Kind.ACKNOWLEDGE: "acknowledge", Kind.RESOLVE: "resolve"}


def event_for(message: Message, *, routing_key: str) -> dict[str, Any]:
    """Returns the body for /v2/enqueue, at most 512,000 bytes as JSON.

    A one-off message is a trigger, too.
    """
    action = ACTIONS.get(message.kind, "trigger")
    event = {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": dedup_key_for(message.alert.dedup_key),
    }
    if action == "trigger":
        event |= _trigger_details(message)
    return event


def dedup_key_for(key: str) -> str:
    """Returns `key`, or its hash when PagerDuty cannot accept it; the same for trigger and resolve."""
    if key and len(key) <= DEDUP_KEY_LIMIT and key == clean(key) and utf16_length(key) <= DEDUP_KEY_LIMIT:
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _trigger_details(message: Message) -> dict[str, Any]:
    alert = message.alert
    details: dict[str, Any] = {"payload": _payload(message), "client": "Amani", "links": _links(alert)}
    address = safe_url(alert.console_url, URL_LIMIT)
    return details | ({"client_url": address} if address else {})


def _payload(message: Message) -> dict[str, Any]:
    alert = message.alert
    payload = {
        "summary": summary(message),
        "source": _first_label(alert, "instance", "host", "job")
        or fitted(message.environment, SOURCE_LIMIT)
        or "amani",
        "severity": known_severity(alert.severity),
        "timestamp": alert.starts_at.isoformat(),
        "component": _first_label(alert, "service", "job", "component"),
        "group": fitted(message.environment, SOURCE_LIMIT, one_line=True),
        "class": fitted(alert.alertname, SOURCE_LIMIT, one_line=True),
        "custom_details": _details(message),
    }
    return {name: value for name, value in payload.items() if value}


def summary(message: Message) -> str:
    """Returns the line that a phone shows: test or not, name, environment, summary."""
    alert = message.alert
    test = "[TEST] " if alert.is_test else ""
    unknown = ", severity unknown" if alert.severity_is_unknown else ""
    escalation = f", {alert.escalation}" if alert.escalation else ""
    details = f"{_environment(message)}{unknown}{escalation}"
    line = f"{test}{fitted(alert.alertname, NAME_LIMIT, one_line=True)} ({details})"
    return fitted(f"{line}: {alert.summary}" if alert.summary else line, SUMMARY_LIMIT, one_line=True)


def _environment(message: Message) -> str:
    return fitted(message.environment, NAME_LIMIT, one_line=True) or "no environment"


def _first_label(alert: AlertFacts, *names: str) -> str:
    found = (
        fitted(alert.labels[name], SOURCE_LIMIT, one_line=True) for name in names if name in alert.labels
    )
    return next(filter(None, found), "")


def _details(message: Message) -> dict[str, Any]:
    alert = message.alert
    given = unknown_severity(alert)
    unknown = {"severity_unknown": fitted(given, NAME_LIMIT, one_line=True)} if given else {}
    return unknown | {
        "environment": _environment(message),
        "description": fitted(alert.description, DESCRIPTION_BYTES, width=json_bytes),
        "labels": trimmed(alert.labels, LABELS_BYTES),
        "annotations": trimmed(_other_annotations(alert), ANNOTATIONS_BYTES),
        "fingerprint": fitted(alert.fingerprint, NAME_LIMIT),
    }


def _other_annotations(alert: AlertFacts) -> dict[str, str]:
    """Returns the annotations whose values are not already shown as summary, description or runbook."""
    shown = {alert.summary, alert.description, alert.runbook_url}
    return {name: value for name, value in alert.annotations.items() if value not in shown}


def trimmed(values: Mapping[str, str], most_bytes: int) -> dict[str, str]:
    """Returns as many of `values` as fit in `most_bytes`, short ones first: one long label leaves room for
    others."""
    kept: dict[str, str] = {}
    left = most_bytes - 100  # room for the note on what was left out
    for name in sorted(values, key=lambda name: (len(values[name]), name)):
        short, value = (
            fitted(name, NAME_LIMIT, one_line=True),
            fitted(values[name], VALUE_BYTES, width=json_bytes),
        )
        left -= json_length(short) + json_length(value) + 4
        if left < 0:
            break
        kept[short] = value
    in_order = {name: kept[name] for name in sorted(kept)}
    missing = len(values) - len(kept)
    return in_order | ({ELLIPSIS: f"and {missing} more, in Amani"} if missing else {})


def json_bytes(character: str) -> int:
    """Returns the bytes of a character in JSON escaped to ASCII, the longest form that a client may send."""
    if character.isascii():
        return 2 if character in '"\\\n' else 1
    return 6 if character <= "\uffff" else 12


def json_length(text: str) -> int:
    return len(encode_basestring_ascii(text))  # as json.dumps, without what that does for other types


def _links(alert: AlertFacts) -> list[dict[str, str]]:
    addresses = (
        (alert.runbook_url, "Runbook"),
        (alert.console_url, "Amani"),
        (alert.generator_url, "Prometheus"),
    )
    safe = ((safe_url(url, URL_LIMIT), text) for url, text in addresses)
    return [{"href": url, "text": text} for url, text in safe if url]
