"""Reads the body of an Alertmanager webhook (version 4). Pure: no database, no clock.

Source: Alertmanager `template/template.go` and `notify/webhook/webhook.go`, 0.25 to 0.33. A body that is
no payload raises `NotAPayload`. One bad alert never spoils the others: it is set aside with its reason.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

WATCHDOG_ALERTNAME = "Watchdog"
VALUE_LIMIT = 8_192  # characters of one label or annotation; the receipt keeps the whole body
ALERTNAME_LIMIT = 200
FINGERPRINT_LIMIT = 64
SEVERITY_OF = {
    "critical": "critical",
    "page": "critical",
    "error": "error",
    "high": "error",
    "warning": "warning",
    "info": "info",
    "none": "info",
}
DEFAULT_SEVERITY = "warning"  # an alert that does not say how bad it is gets told, but wakes nobody
LONE_SURROGATES = re.compile("[\ud800-\udfff]")


class NotAPayload(Exception):
    """`reason` is a metric label, the message says what is wrong and what was expected."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BadAlert(ValueError):
    """One alert that cannot be stored; the message says why."""


@dataclass(slots=True)
class Payload:
    """`alerts`: rows for `ingest`, ordered by (fingerprint, starts_at), at most one each."""

    receiver: str
    group_key: str
    truncated_alerts: int
    alerts: list[dict[str, Any]] = field(default_factory=list)
    set_aside: list[dict[str, Any]] = field(default_factory=list)
    watchdog_fires: bool = False
    watchdog_ended: bool = False
    received: int = 0


def read_payload(body: bytes) -> Payload:
    """The payload in `body`, or NotAPayload."""
    document = load_document(body)
    payload = Payload(
        receiver=clean(str(document.get("receiver", "")))[:200],
        group_key=clean(str(document.get("groupKey", "")))[:500],
        truncated_alerts=count_or_zero(document.get("truncatedAlerts")),
        received=len(document["alerts"]),
    )
    dirty = b"\\u0000" in body or b"\\ud" in body or b"\\uD" in body
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for position, alert in enumerate(document["alerts"]):
        try:
            row = read_alert(alert, dirty=dirty)
        except BadAlert as problem:
            payload.set_aside.append(aside(position, alert, str(problem)))
            continue
        if row["alertname"] == WATCHDOG_ALERTNAME:
            payload.watchdog_fires |= row["status"] == "firing"
            payload.watchdog_ended |= row["status"] == "resolved"
            continue
        key = (row["fingerprint"], row["starts_at"])
        if key not in rows or row["status"] == "resolved":
            rows[key] = row
    # One order for every writer: overlapping webhooks would otherwise deadlock in the upsert.
    payload.alerts = [rows[key] for key in sorted(rows)]
    return payload


def load_document(body: bytes) -> dict[str, Any]:
    """The JSON object of a version 4 payload with its list of alerts."""
    try:
        document = json.loads(body, parse_int=read_integer)
    except UnicodeDecodeError as problem:
        raise NotAPayload("bad_encoding", f"The body is not UTF-8: {problem.reason}.") from problem
    except RecursionError as problem:
        raise NotAPayload("not_json", "The body is nested too deeply.") from problem
    except ValueError as problem:
        raise NotAPayload("not_json", f"The body is not JSON: {problem}.") from problem
    if not isinstance(document, dict):
        raise NotAPayload("not_a_payload", "The body is not a JSON object.")
    if document.get("version") != "4":
        raise NotAPayload(
            "not_a_payload",
            f'"version" is {document.get("version")!r:.50}, expected "4" (Alertmanager webhook).',
        )
    if not isinstance(document.get("alerts"), list):
        raise NotAPayload("not_a_payload", '"alerts" is not a list.')
    return document


def read_integer(digits: str) -> int:
    """No field of a payload needs more than 18 digits; Python would refuse the whole body at 4,300."""
    return int(digits[:18])


def read_alert(alert: Any, *, dirty: bool = True) -> dict[str, Any]:
    """One alert as a row: JSON-ready, texts storable, times in ISO 8601 with offset."""
    if not isinstance(alert, dict):
        raise BadAlert("is not an object")
    status = alert.get("status")
    if status not in ("firing", "resolved"):  # a tuple: an odd status may not be hashable
        raise BadAlert(f'"status" is {status!r:.50}, expected "firing" or "resolved"')
    labels = strings(alert.get("labels"), "labels", dirty=dirty)
    annotations = strings(alert.get("annotations", {}), "annotations", dirty=dirty)
    if not labels:
        raise BadAlert('"labels" is empty')
    fingerprint = read_fingerprint(alert.get("fingerprint"), labels)
    starts_at = read_time(alert.get("startsAt"), "startsAt")
    if starts_at is None:
        raise BadAlert('"startsAt" is missing')
    starts_at_text = starts_at.isoformat()
    generator_url = alert.get("generatorURL")
    return {
        "fingerprint": fingerprint,
        "starts_at": starts_at_text,
        "ends_at": read_end(alert.get("endsAt")) if status == "resolved" else None,
        "status": status,
        "severity": SEVERITY_OF.get(labels.get("severity", "").lower(), DEFAULT_SEVERITY),
        "alertname": labels.get("alertname", "(no alertname)")[:ALERTNAME_LIMIT],
        "summary": annotations.get("summary", ""),
        "labels": labels,
        "annotations": annotations,
        "generator_url": clean(generator_url)[:VALUE_LIMIT] if isinstance(generator_url, str) else "",
        "dedup_key": f"amani-{fingerprint}-{starts_at_text}",
    }


def strings(value: Any, name: str, *, dirty: bool) -> dict[str, str]:
    """A JSON object of strings, storable in PostgreSQL."""
    if not isinstance(value, dict):
        raise BadAlert(f'"{name}" is not an object')
    for key, text in value.items():
        if not isinstance(text, str):
            raise BadAlert(f'"{name}" has a value that is not a string: {key!r:.80}')
        dirty |= len(text) > VALUE_LIMIT or len(key) > VALUE_LIMIT
    if not dirty:
        return value
    return {clean(key)[:VALUE_LIMIT]: shorten(clean(text)) for key, text in value.items()}


def clean(text: str) -> str:
    """`text` without what PostgreSQL cannot store: NUL is dropped, a lone surrogate becomes U+FFFD."""
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    return LONE_SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text.replace("\0", ""))


def shorten(text: str) -> str:
    return text if len(text) <= VALUE_LIMIT else text[: VALUE_LIMIT - 1] + "…"


def read_fingerprint(value: Any, labels: dict[str, str]) -> str:
    """Alertmanager's fingerprint; ours from the labels where it is missing or odd."""
    if isinstance(value, str) and value.isalnum() and value.isascii() and len(value) <= FINGERPRINT_LIMIT:
        return value
    canonical = json.dumps(sorted(labels.items())).encode()
    return hashlib.sha256(canonical).hexdigest()[:32]


def read_time(value: Any, name: str) -> datetime | None:
    """An RFC 3339 time in UTC; None when there is none or it is Go's zero time."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise BadAlert(f'"{name}" has no time zone: {value!r:.60}')
        moment = moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as problem:
        if isinstance(problem, BadAlert):
            raise
        raise BadAlert(f'"{name}" is not an RFC 3339 time: {value!r:.60}') from problem
    return None if moment.year <= 1 else moment


def read_end(value: Any) -> str | None:
    """The end of a resolved alert; an odd one is left out, since the resolve matters more than its time."""
    try:
        moment = read_time(value, "endsAt")
    except BadAlert:
        return None
    return moment.isoformat() if moment else None


def count_or_zero(value: Any) -> int:
    return min(value, 2**31 - 1) if isinstance(value, int) and value > 0 else 0


def aside(position: int, alert: Any, reason: str) -> dict[str, Any]:
    """What the receipt keeps of an alert that was not stored; the whole of it is in the body."""
    excerpt = clean(json.dumps(alert, ensure_ascii=True, default=str).replace("\\u0000", ""))[:500]
    return {"position": position, "reason": clean(reason), "excerpt": excerpt}
