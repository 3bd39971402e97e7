"""Reads the body of an Alertmanager webhook (version 4). Reads settings, but neither the database nor the
clock.

Source: Alertmanager `template/template.go` and `notify/webhook/webhook.go`, 0.25 to 0.33.

A body that is not such a payload raises `NotAPayload`. An unusable field is converted or left out, with a
note on the receipt; the rest of its alert is stored. An alert without a status, or without labels and
fingerprint, is set aside; the rest of the payload is stored.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from observability import severities
from observability.alerts.intake.annotations import summary_of

WATCHDOG_ALERTNAME = "Watchdog"
VALUE_LIMIT = 8_192  # characters of one label or annotation; the receipt keeps the whole body
ALERTNAME_LIMIT = 200
FINGERPRINT_LIMIT = 64
MAX_NOTES = 200  # on one receipt
MOST_DIGITS = 4_000  # Python refuses to read more than 4,300
# Alertmanager has one alert for each fingerprint.
SAME_FINGERPRINT = (
    "has the fingerprint of another alert in this body with another start; the later start counts"
)
LONE_SURROGATES = re.compile("[\ud800-\udfff]")


class NotAPayload(Exception):
    """The body is not a webhook payload of version 4.

    `reason` is a metric label; the message says what is wrong and what was expected.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BadAlert(ValueError):
    """One alert that cannot be stored; the message says why."""


class OddField(ValueError):
    """One field that cannot be used as it is; the message says why."""


@dataclass(slots=True)
class Payload:
    """What was read from a body.

    `alerts`: rows for `ingest`, ordered by fingerprint, at most one for each fingerprint. A row without a
    usable start has None as `starts_at`, and no `dedup_key`. `set_aside`: alerts that are not stored, with
    the reason. `odd_fields`: what was converted or left out, in `odd_count` of the alerts that are stored.
    """

    receiver: str
    group_key: str
    truncated_alerts: int
    alerts: list[dict[str, Any]] = field(default_factory=list)
    set_aside: list[dict[str, Any]] = field(default_factory=list)
    odd_fields: list[dict[str, Any]] = field(default_factory=list)
    odd_count: int = 0
    watchdog_fires: bool = False
    watchdog_ended: bool = False
    received: int = 0

    def note(self, position: int, odd: list[str]) -> None:
        """Adds the notes in `odd` about the alert at `position`, up to MAX_NOTES for the whole payload."""
        self.odd_count += 1
        room = MAX_NOTES - len(self.odd_fields)
        self.odd_fields += [{"position": position, "reason": clean(text)} for text in odd[:room]]


def read_payload(body: bytes) -> Payload:
    """Returns the payload in `body`. Raises NotAPayload."""
    document = load_document(body)
    payload = Payload(
        receiver=clean(str(document.get("receiver", "")))[:200],
        group_key=clean(str(document.get("groupKey", "")))[:500],
        truncated_alerts=count_or_zero(document.get("truncatedAlerts")),
        received=len(document["alerts"]),
    )
    dirty = b"\\u0000" in body or b"\\ud" in body or b"\\uD" in body
    rows: dict[str, dict[str, Any]] = {}
    for position, alert in enumerate(document["alerts"]):
        odd: list[str] = []
        try:
            row = read_alert(alert, odd, dirty=dirty)
        except BadAlert as problem:
            payload.set_aside.append(aside(position, alert, str(problem)))
            continue
        if odd:
            payload.note(position, odd)
        if row["alertname"] == WATCHDOG_ALERTNAME:
            payload.watchdog_fires |= row["status"] == "firing"
            payload.watchdog_ended |= row["status"] == "resolved"
            continue
        other = rows.get(row["fingerprint"])
        if other is None or newness(row) > newness(other):
            rows[row["fingerprint"]] = row
        if other is not None and other["starts_at"] != row["starts_at"]:
            payload.set_aside.append(aside(position, alert, SAME_FINGERPRINT))
    # Every webhook locks rows in the same order: overlapping ones would otherwise deadlock in the upsert.
    payload.alerts = [rows[fingerprint] for fingerprint in sorted(rows)]
    return payload


def newness(row: dict[str, Any]) -> tuple[str, bool]:
    """Returns the sort key among alerts of one fingerprint: the latest start wins, then a resolve."""
    return row["starts_at"] or "", row["status"] == "resolved"


def load_document(body: bytes) -> dict[str, Any]:
    """Returns the JSON object of a version 4 payload. Raises NotAPayload."""
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
    """Returns the number in `digits`, cut off at MOST_DIGITS: Python would refuse a longer one, and the
    body."""
    return int(digits[:MOST_DIGITS])


def read_alert(alert: Any, odd: list[str], *, dirty: bool) -> dict[str, Any]:
    """Returns one alert as a row: values for JSON, texts that PostgreSQL can store, times in ISO 8601.

    Adds a note to `odd` for what was converted or left out. `dirty`: texts may contain what PostgreSQL cannot
    store. Raises BadAlert for an alert without a status, or with neither labels nor fingerprint.
    """
    if not isinstance(alert, dict):
        raise BadAlert("is not an object")
    status = alert.get("status")
    if status not in ("firing", "resolved"):  # a tuple: an odd status may not be hashable
        raise BadAlert(f'"status" is {status!r:.50}, expected "firing" or "resolved"')
    labels = strings(alert.get("labels"), "labels", odd, dirty=dirty)
    annotations = strings(alert.get("annotations", {}), "annotations", odd, dirty=dirty)
    fingerprint = read_fingerprint(alert.get("fingerprint"), labels, odd)
    starts_at = read_start(alert.get("startsAt"), odd)
    severity, is_unknown = severities.read(labels.get("severity", ""), settings.ALERT_SEVERITY_MAP)
    return {
        "fingerprint": fingerprint,
        "starts_at": starts_at,
        "ends_at": read_end(alert.get("endsAt"), odd) if status == "resolved" else None,
        "status": status,
        "severity": severity,
        "severity_is_unknown": is_unknown,
        "alertname": labels.get("alertname", "")[:ALERTNAME_LIMIT] or "(no alertname)",
        "summary": summary_of(annotations),
        "labels": labels,
        "annotations": annotations,
        "generator_url": read_address(alert.get("generatorURL"), odd),
        "dedup_key": dedup_key(fingerprint, starts_at) if starts_at else "",
    }


def dedup_key(fingerprint: str, starts_at: str) -> str:
    """Returns the PagerDuty deduplication key of an episode that begins with this alert."""
    return f"amani-{fingerprint}-{starts_at}"


def strings(value: Any, name: str, odd: list[str], *, dirty: bool) -> dict[str, str]:
    """Returns labels or annotations as an object of strings that PostgreSQL can store."""
    if not isinstance(value, dict):
        if value is not None or name == "labels":  # Go writes null for an empty map
            odd.append(f'"{name}" is not an object: left out')
        return {}
    for key, text in value.items():
        if not isinstance(text, str):
            return strings(converted(value, name, odd), name, odd, dirty=True)
        dirty |= len(text) > VALUE_LIMIT or len(key) > VALUE_LIMIT
    if not dirty:
        return value
    return {clean(key)[:VALUE_LIMIT]: shorten(clean(text)) for key, text in value.items()}


def converted(values: dict[str, Any], name: str, odd: list[str]) -> dict[str, str]:
    """Returns `values` with numbers, booleans, lists and objects as JSON texts, and without nulls."""
    texts: dict[str, str] = {}
    for key, value in values.items():
        if value is None:
            odd.append(f'"{name}" has no value for {key!r:.80}: left out')
            continue
        if not isinstance(value, str):
            odd.append(f'"{name}" has a value that is not a string: {key!r:.80}, converted')
        texts[key] = value if isinstance(value, str) else as_json(value)
    return texts


def as_json(value: Any) -> str:
    try:
        return json.dumps(value, default=str)
    except RecursionError:  # reading it was just within the limit
        return "(nested too deeply)"


def clean(text: str) -> str:
    """Returns `text` as PostgreSQL can store it: NUL is dropped, a lone surrogate becomes U+FFFD."""
    if text.isascii():
        return text.replace("\0", "") if "\0" in text else text
    return LONE_SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text.replace("\0", ""))


def shorten(text: str) -> str:
    """Returns `text`, cut off with an ellipsis at VALUE_LIMIT characters."""
    return text if len(text) <= VALUE_LIMIT else text[: VALUE_LIMIT - 1] + "…"


def read_fingerprint(value: Any, labels: dict[str, str], odd: list[str]) -> str:
    """Returns Alertmanager's fingerprint; one made from the labels where it is missing or unusable.

    Raises BadAlert when there are no labels either.
    """
    if isinstance(value, str) and value.isalnum() and value.isascii() and len(value) <= FINGERPRINT_LIMIT:
        return value
    if not labels:
        raise BadAlert('"labels" is empty, and there is no "fingerprint"')
    if value not in (None, ""):
        odd.append('"fingerprint" is not letters and digits: made from the labels')
    canonical = json.dumps(sorted(labels.items())).encode()
    return hashlib.sha256(canonical).hexdigest()[:32]


def read_start(value: Any, odd: list[str]) -> str | None:
    """Returns the start as ISO 8601. None when there is no usable one; `ingest` then takes another time."""
    try:
        moment = read_time(value, "startsAt")
        problem = '"startsAt" is missing'
    except OddField as oddity:
        moment, problem = None, str(oddity)
    if moment is None:
        odd.append(f"{problem}: the time of arrival is taken")
        return None
    return moment.isoformat()


def read_end(value: Any, odd: list[str]) -> str | None:
    """Returns the end of a resolved alert. An unusable one is left out: the resolve matters, not its time."""
    try:
        moment = read_time(value, "endsAt")
    except OddField as problem:
        odd.append(f"{problem}: left out")
        return None
    return moment.isoformat() if moment else None


def read_time(value: Any, name: str) -> datetime | None:
    """Returns an RFC 3339 time in UTC; None when it is missing or Go's zero time. Raises OddField."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise OddField(f'"{name}" has no time zone: {value!r:.60}')
        moment = moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as problem:
        if isinstance(problem, OddField):
            raise
        raise OddField(f'"{name}" is not an RFC 3339 time: {value!r:.60}') from problem
    return None if moment.year <= 1 else moment


def read_address(value: Any, odd: list[str]) -> str:
    """Returns the address of the expression's graph; "" when there is none."""
    if isinstance(value, str):
        return clean(value)[:VALUE_LIMIT]
    if value is not None:
        odd.append('"generatorURL" is not a string: left out')
    return ""


def count_or_zero(value: Any) -> int:
    return min(value, 2**31 - 1) if isinstance(value, int) and value > 0 else 0


def aside(position: int, alert: Any, reason: str) -> dict[str, Any]:
    """Returns the note on the receipt about an alert that was not stored; the body has the whole alert."""
    excerpt = clean(as_json(alert).replace("\\u0000", ""))[:500]
    return {"position": position, "reason": clean(reason), "excerpt": excerpt}
