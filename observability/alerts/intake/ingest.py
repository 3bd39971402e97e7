"""Stores a payload: receipt, episodes, timeline and planned deliveries in one SQL statement.

One statement is one transaction: all of it is stored before the webhook is answered, or none of it.

A payload is a snapshot of alerts, not an event: it may be delayed, repeated, or come from one of several
senders. An alert is identified by its fingerprint. Its start differs between senders and changes when they
are restarted. The rules for one alert of a payload, in the order of what is stored about it:

- No episode yet, or its newest episode ended before the reported start: a new episode.
- Reported as firing while it fires: no change, or another start of the same episode. The earliest is kept.
- Reported as resolved while it fires: the episode ends, unless the reported end lies before one of its
  starts.
- Reported as resolved while Prometheus or the Watchdog is silent: the end is unconfirmed. Alertmanager itself
  resolves what Prometheus no longer mentions, so the alert stays firing until `confirming` has asked
  Prometheus.
- Reported as firing with a start before the end of its newest episode: either a delayed copy, or it fires
  again because Alertmanager had lost contact with Prometheus. `reopening` asks Alertmanager which it is.
- Reported as resolved while it is resolved: no change.
- Reported as firing while it is silenced (`silences/suppressed.py`): no silence holds it back any more, so it
  fires, and its channels are notified as of a new one.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models.functions import Coalesce
from django.utils import timezone

from observability import routes
from observability.alerts import trust
from observability.alerts.delivery import outbox
from observability.alerts.intake.payload import NotAPayload, Payload, clean, dedup_key
from observability.alerts.prepared import preparing_cursor
from observability.models import Delivery, Episode, Heartbeat, Receipt
from observability.models.episode import Severity
from observability.notifiers import registry
from observability.routes import Routes

CONFIRMATION_EVERY = timedelta(minutes=5)
MOST_TRIES = 5  # each needs a change of the routes in the milliseconds between reading them and storing
SQLSTATES_TO_REPEAT = {"40001", "40P01"}  # serialization failure, deadlock: the same statement will succeed

# The conditions below compare an incoming row (EXCLUDED) with the newest stored episode of its fingerprint
# (`known`). GREATEST and LEAST ignore NULL.

# The latest time that certainly belongs to an episode that has ended. Its end is the one that its sender
# reported, but not later than Amani received that report.
ENDED_AT = "GREATEST(known.starts_at, known.latest_start_at, LEAST(known.ends_at, known.resolved_at))"
LATEST_START = "GREATEST(known.starts_at, known.latest_start_at)"

# The row ends the episode. A resolve with the latest start ends it, whatever end it reports.
IS_END = f"""(known.status = 'firing' AND EXCLUDED.status = 'resolved' AND known.unconfirmed_at IS NULL
    AND (EXCLUDED.ends_at IS NULL OR GREATEST(EXCLUDED.starts_at, EXCLUDED.ends_at) >= {LATEST_START}))"""
# The row reports another start of the firing episode: a later one, or an earlier one that does not belong to
# the episode before.
IS_OTHER_START = f"""(known.status = 'firing' AND EXCLUDED.status = 'firing'
    AND (EXCLUDED.starts_at > {LATEST_START}
         OR EXCLUDED.starts_at < known.starts_at
            AND (known.previous_end_at IS NULL OR EXCLUDED.starts_at > known.previous_end_at)))"""
# The row begins a new episode: it starts after the newest one ended.
IS_NEW_EPISODE = f"(known.status = 'resolved' AND EXCLUDED.starts_at > {ENDED_AT})"
# The row reports a resolved episode as firing, with a start that belongs to it: `reopening` decides.
IS_REFIRED = f"""(known.status = 'resolved' AND EXCLUDED.status = 'firing' AND known.refired_at IS NULL
    AND NOT {IS_NEW_EPISODE})"""
# The row reports an alert that was known to be silenced: Alertmanager sends only what no silence matches.
IS_UNSILENCED = "(known.status = 'silenced' AND EXCLUDED.status = 'firing')"
# The row reports that the episode still fires. This is stored only every CONFIRMATION_EVERY: otherwise each
# repetition of a group would rewrite every row of it.
IS_CONFIRMATION = """(known.status = 'firing' AND EXCLUDED.status = 'firing'
    AND known.confirmed_at < %(confirmed_before)s)"""

# The columns of a new episode, and their values from `incoming` and `trust`. `last_change` of a resolve that
# is not trusted is `unconfirmed`. A new episode that begins with such a resolve is resolved nevertheless: it
# never fired here.
COLUMNS = """fingerprint, starts_at, ends_at, status, severity, severity_is_unknown, not_notified, channels,
    route_id, alertname, summary, labels, annotations, generator_url, dedup_key, source, first_seen_at,
    confirmed_at, resolved_at, round, is_latest, last_change"""
VALUES = """incoming.fingerprint, incoming.starts_at, incoming.ends_at, incoming.status, incoming.severity,
    incoming.severity_is_unknown, incoming.not_notified, incoming.channels, incoming.route_id,
    incoming.alertname, incoming.summary,
    incoming.labels, incoming.annotations, incoming.generator_url, incoming.dedup_key, 'alertmanager',
    %(now)s, %(now)s, CASE WHEN incoming.status = 'resolved' THEN %(now)s END, 0, true,
    CASE WHEN incoming.status = 'firing' THEN 'fired' WHEN trust.is_given THEN 'resolved'
         ELSE 'unconfirmed' END"""
RETURNED = """known.id, known.fingerprint, known.severity, known.round, known.channels,
    CASE WHEN known.last_change = 'unconfirmed' AND known.status = 'resolved' THEN 'resolved'
         ELSE known.last_change END AS change"""
# The kind of the message about each change. Nothing is planned for a change without one.
KIND_ABOUT = {
    Episode.Change.FIRED: Delivery.Kind.TRIGGER,
    Episode.Change.RESOLVED: Delivery.Kind.RESOLVE,
    Episode.Change.UNCONFIRMED: Delivery.Kind.UNCONFIRMED,
}

# The statement, part by part. Each part is a CTE ("WITH name AS …"); PostgreSQL runs all of them in one
# transaction and on one snapshot, so a part sees the rows that another one wrote only through its RETURNING.
#
# receipt_id  Takes the key of the receipt before its row is written, because the timeline refers to it. For a
#             receipt that is processed again it is the key of the kept row. MATERIALIZED: the sequence must
#             be read once, not once for each reference.
#
# routed      One row, `is_current`: whether the routes that decided about the channels of each alert are the
#             present ones. If not, nothing is stored, and the caller decides again (`run_statement`).
#
# incoming    Turns the JSON array of `statement_parameters` into rows, one for each fingerprint. They are in
#             the order of their fingerprints, so that two webhooks lock common rows in the same order and
#             cannot deadlock.
#
# trust       One row, `is_given`: whether a resolve is accepted (`trust.TRUST`).
#
# touched     The upsert. A fingerprint without episode gets one (`fired`, `resolved` or `unconfirmed`).
#             Otherwise ON CONFLICT finds the newest episode by the unique index on (fingerprint) WHERE
#             is_latest, and locks it. Its WHERE lets only rows through that change something, by the
#             conditions above; a repeated payload writes no row. SET stores the change and its name in
#             `last_change`:
#               retired      it ended before the incoming start, so it is no longer the newest;
#               resolved     it ended; unconfirmed: it was reported as ended, which is not trusted;
#               refired      it is resolved and was reported as firing; restarted: it has another start;
#               fired        it was silenced and is no longer;
#               confirmed    it still fires, and only `confirmed_at` changes.
#             An upsert cannot insert a second row for a fingerprint, which is why a retired episode needs the
#             next part.
#
# another     Inserts the new episodes in place of the retired ones. `previous_end_at` keeps the end of the
#             retired episode, so that a delayed report with an earlier start is not taken for a new start.
#
# changed     The changes that operators see, from both parts above: fired, resolved, unconfirmed, restarted.
#
# timeline    Adds one event for each change, with the receipt that caused it.
#
# planned     Adds the deliveries of each change: those that `deliveries_to_plan` lists for the change and the
#             severity, on the channels of the alert, unless Alertmanager notifies itself. The channels are
#             decided when an alert fires and stored with it, so its end reaches those that were notified.
#             ON CONFLICT DO NOTHING: the unique index allows
#             one trigger and one resolve for each episode, channel and round. RETURNING names the channels
#             whose worker must be woken.
#
# receipt     Stores the body as it was received, unless it is a kept one that is processed again.
#
# The last SELECT returns the receipt's key, the number of changes, and the channels with a new delivery.
#
# No part finds stored episodes by another way than the upsert's index. The plan of the statement is kept for
# each connection: one made while the table was small would otherwise read the whole table for each payload.
STORE = f"""
WITH receipt_id AS MATERIALIZED (
    SELECT coalesce(%(known_receipt_id)s::bigint,
                    nextval(pg_get_serial_sequence('observability_receipt', 'id'))) AS id
), routed AS MATERIALIZED (
    {routes.IS_CURRENT}
), incoming AS (
    SELECT alert.* FROM routed CROSS JOIN json_to_recordset(%(alerts)s::json) AS alert(
        fingerprint text, starts_at timestamptz, ends_at timestamptz, status text, severity text,
        severity_is_unknown boolean, not_notified text, channels text[], route_id bigint, alertname text,
        summary text, labels jsonb, annotations jsonb, generator_url text, dedup_key text)
    WHERE routed.is_current
), trust AS MATERIALIZED (
    {trust.TRUST}
), touched AS (
    INSERT INTO observability_episode AS known ({COLUMNS})
    SELECT {VALUES} FROM trust CROSS JOIN incoming
    ON CONFLICT (fingerprint) WHERE is_latest DO UPDATE
        SET last_change = CASE
                WHEN {IS_NEW_EPISODE} THEN 'retired'
                WHEN EXCLUDED.status = 'resolved' THEN EXCLUDED.last_change
                WHEN known.status = 'resolved' THEN 'refired'
                WHEN {IS_UNSILENCED} THEN 'fired'
                WHEN {IS_OTHER_START} THEN 'restarted'
                ELSE 'confirmed' END,
            is_latest = NOT {IS_NEW_EPISODE},
            status = CASE WHEN known.status = 'resolved' THEN 'resolved'
                          WHEN EXCLUDED.last_change = 'resolved' THEN 'resolved' ELSE 'firing' END,
            resolved_at = CASE WHEN known.status = 'firing' AND EXCLUDED.last_change = 'resolved'
                               THEN %(now)s ELSE known.resolved_at END,
            unconfirmed_at = CASE WHEN known.status = 'firing' AND EXCLUDED.last_change = 'unconfirmed'
                                  THEN %(now)s ELSE known.unconfirmed_at END,
            refired_at = CASE WHEN known.status = 'resolved' AND NOT {IS_NEW_EPISODE} THEN %(now)s END,
            ends_at = CASE WHEN known.status = 'firing' THEN COALESCE(EXCLUDED.ends_at, known.ends_at)
                           ELSE known.ends_at END,
            not_notified = CASE WHEN {IS_UNSILENCED} THEN EXCLUDED.not_notified ELSE known.not_notified END,
            unsilenced_at = CASE WHEN {IS_UNSILENCED} THEN %(now)s ELSE known.unsilenced_at END,
            confirmed_at = CASE WHEN known.status IN ('firing', 'silenced') AND EXCLUDED.status = 'firing'
                                THEN %(now)s ELSE known.confirmed_at END,
            starts_at = CASE WHEN {IS_OTHER_START} THEN LEAST(known.starts_at, EXCLUDED.starts_at)
                             ELSE known.starts_at END,
            latest_start_at = CASE WHEN {IS_OTHER_START} THEN GREATEST({LATEST_START}, EXCLUDED.starts_at)
                                   ELSE known.latest_start_at END
        WHERE {IS_END} OR {IS_NEW_EPISODE} OR {IS_OTHER_START} OR {IS_REFIRED} OR {IS_CONFIRMATION}
              OR {IS_UNSILENCED}
    RETURNING {RETURNED}, {ENDED_AT} AS ended_at
), another AS (
    INSERT INTO observability_episode AS known ({COLUMNS}, previous_end_at)
    SELECT {VALUES}, touched.ended_at
    FROM touched JOIN incoming ON incoming.fingerprint = touched.fingerprint CROSS JOIN trust
    WHERE touched.change = 'retired'
    RETURNING {RETURNED}
), changed AS (
    SELECT known.id, known.severity, known.round, known.change, incoming.starts_at, incoming.not_notified,
           coalesce(known.channels, incoming.channels) AS channels
    FROM (SELECT id, fingerprint, severity, round, channels, change FROM touched
          WHERE change IN ('fired', 'resolved', 'unconfirmed', 'restarted')
          UNION ALL SELECT * FROM another) AS known
    JOIN incoming USING (fingerprint)
), timeline AS (
    INSERT INTO observability_episodeevent (episode_id, at, kind, text, request_id, receipt_id)
    SELECT changed.id, %(now)s, changed.change,
           CASE WHEN changed.change = 'restarted'
                THEN to_char(changed.starts_at AT TIME ZONE 'UTC', '"Start: "YYYY-MM-DD HH24:MI:SS" UTC."')
                ELSE '' END,
           %(request_id)s, receipt_id.id
    FROM changed, receipt_id
), planned AS (
    INSERT INTO observability_delivery (
        episode_id, channel, kind, digest_of, severity, round, priority, state, reason,
        created_at, next_attempt_at, attempt_count)
    SELECT changed.id, plan.channel, plan.kind, '', changed.severity, changed.round, plan.priority,
           'pending', '', %(now)s, %(now)s, 0
    FROM changed
    JOIN json_to_recordset(%(deliveries_to_plan)s::json) AS plan(
             change text, severity text, kind text, channel text, priority smallint)
         USING (change, severity)
    WHERE plan.channel = ANY (changed.channels)
      AND changed.not_notified <> '{Episode.NotNotified.SENDER_NOTIFIES}'
    ON CONFLICT DO NOTHING
    RETURNING channel
), receipt AS (
    INSERT INTO observability_receipt (
        id, received_at, outcome, reason, receiver, group_key, alert_count, changed_count,
        truncated_alerts, set_aside, odd_fields, remote_address, request_id, body, size)
    SELECT receipt_id.id, %(now)s, %(outcome)s, %(reason)s, %(receiver)s, %(group_key)s, %(received)s,
           (SELECT count(*) FROM changed), %(truncated)s, %(set_aside)s::jsonb,
           %(odd_fields)s::jsonb, %(remote_address)s, %(request_id)s, %(body)s, %(size)s
    FROM receipt_id CROSS JOIN routed WHERE %(keep_receipt)s AND routed.is_current
)
SELECT routed.is_current, receipt_id.id, (SELECT count(*) FROM changed),
       ARRAY(SELECT DISTINCT channel FROM planned)
FROM receipt_id CROSS JOIN routed
"""  # noqa: S608  (put together from the constants above; every value is a parameter)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A body as it was received, and where from. `receipt_id` is set when a kept body is processed again."""

    body: bytes
    remote_address: str = ""
    request_id: str = ""
    receipt_id: int | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What a payload changed. `changed`: number of episodes. `channels`: those with a new delivery."""

    receipt_id: int
    changed: int
    channels: list[str]


def store(payload: Payload, envelope: Envelope, *, keep_receipt: bool = True) -> Stored:
    """Stores `payload` and returns what it changed. `keep_receipt`: whether a row for the body is written.

    Raises a DatabaseError that `core.sqlstates` knows as an outage when the database cannot store it now.
    """
    date_undated(payload, timezone.now())
    try:
        stored = run_statement(payload, envelope, keep_receipt=keep_receipt)
    except (DataError, IntegrityError):
        # An alert passed our checks, but PostgreSQL cannot store it: find it and set it aside.
        payload.alerts = [alert for alert in payload.alerts if is_storable(alert, payload)]
        stored = run_statement(payload, envelope, keep_receipt=keep_receipt)
    if payload.watchdog_fires:
        Heartbeat.beat(Heartbeat.WATCHDOG)
    return stored


class RoutesKeepChanging(OperationalError):
    """The routes changed each time that a payload was about to be stored, so nothing is stored.

    For callers it is an outage like a conflict that PostgreSQL finds: the same payload can be stored later.
    """

    sqlstate = "40001"


def run_statement(payload: Payload, envelope: Envelope, *, keep_receipt: bool) -> Stored:
    """Routes the alerts and runs STORE; once more each time that the routes have changed meanwhile.

    Raises RoutesKeepChanging after MOST_TRIES.
    """
    found = routes.cached()
    for _ in range(MOST_TRIES):
        now = timezone.now()
        route(payload, found, now)
        parameters = statement_parameters(payload, envelope, keep_receipt=keep_receipt, now=now)
        stored = execute_twice(parameters | {"routes_version": found.version})
        if stored is not None:
            return stored
        found = routes.current()
    raise RoutesKeepChanging(
        f"The routes have changed {MOST_TRIES} times while alerts were about to be stored."
    )


def route(payload: Payload, found: Routes, now: datetime) -> None:
    """Sets which channels are notified of each alert, or why none is."""
    for alert in payload.alerts:
        decision = outbox.decide(alert["severity"], alert["labels"], found, now)
        alert["channels"], alert["route_id"] = decision.channels, decision.route_id
        alert["not_notified"] = outbox.reason_not_to_notify(alert["labels"], decision)


def execute_twice(parameters: dict[str, Any]) -> Stored | None:
    """Runs STORE, and once more after a failure that a second try can cure."""
    was_connected = connection.connection is not None
    try:
        return execute(parameters)
    except (OperationalError, InterfaceError, InternalError) as problem:
        if not is_worth_repeating(problem, was_connected=was_connected):
            raise
        return execute(parameters)


def is_worth_repeating(problem: Exception, *, was_connected: bool) -> bool:
    """Whether STORE can succeed when it is run again.

    That is so after a conflict with another webhook, and when the kept connection was dead or read-only, for
    which observability/telemetry/database.py has closed it.
    """
    if connection.in_atomic_block:
        return False
    if getattr(problem.__cause__, "sqlstate", None) in SQLSTATES_TO_REPEAT:
        return True
    connection.close_if_unusable_or_obsolete()
    return was_connected and connection.connection is None


def execute(parameters: dict[str, Any]) -> Stored | None:
    """Returns what STORE stored; None when it stored nothing because the routes are not the present ones."""
    # Inside a caller's transaction, a failed statement must not end that transaction.
    savepoint = transaction.atomic() if connection.in_atomic_block else nullcontext()
    with savepoint, preparing_cursor() as cursor:
        cursor.execute(STORE, parameters)
        row = cursor.fetchone()
    assert row is not None  # noqa: S101  (the last SELECT always has one row)
    is_current, *stored = row
    return Stored(*stored) if is_current else None


def statement_parameters(
    payload: Payload, envelope: Envelope, *, keep_receipt: bool, now: datetime
) -> dict[str, Any]:
    return {
        "alerts": json.dumps(payload.alerts),
        "deliveries_to_plan": deliveries_to_plan(tuple(registry.NOTIFIERS)),
        "now": now,
        "confirmed_before": now - CONFIRMATION_EVERY,
        "overdue_before": trust.overdue_before_as_json(now),
        "keep_receipt": keep_receipt,
        "known_receipt_id": envelope.receipt_id,
        "outcome": Receipt.Outcome.PARTIAL.value if payload.set_aside else Receipt.Outcome.STORED.value,
        "reason": summary_of_faults(payload),
        "receiver": payload.receiver,
        "group_key": payload.group_key,
        "received": payload.received,
        "truncated": payload.truncated_alerts,
        "set_aside": json.dumps(payload.set_aside),
        "odd_fields": json.dumps(payload.odd_fields),
        "remote_address": envelope.remote_address,
        "request_id": envelope.request_id,
        "body": envelope.body,
        "size": len(envelope.body),
    }


@lru_cache(maxsize=1)
def deliveries_to_plan(channels: tuple[str, ...]) -> str:
    """Returns the deliveries that may follow each change of an alert, by severity, as JSON rows for STORE.

    `channels`: all that there are. The result is kept for them: making it takes a tenth of a millisecond.
    """
    return json.dumps(
        [
            {
                "change": change,
                "severity": severity,
                "kind": kind,
                "channel": channel,
                "priority": outbox.priority_of(kind, severity),
            }
            for change, kind in KIND_ABOUT.items()
            for severity in Severity.values
            for channel in channels
            if outbox.handles(channel, kind)
        ]
    )


def summary_of_faults(payload: Payload) -> str:
    """Returns one line for the receipt about the alerts set aside and those with unusable fields."""
    of_all = f"of {payload.received} alerts"
    faults = (
        (len(payload.set_aside), f"{of_all} set aside", payload.set_aside),
        (payload.odd_count, f"{of_all} stored with unusable fields", payload.odd_fields),
    )
    return " ".join(
        f"{count} {what}; the first, alert {notes[0]['position']}: {notes[0]['reason']}."
        for count, what, notes in faults
        if count
    )


def date_undated(payload: Payload, now: datetime) -> None:
    """Sets a start for alerts that came without a usable one. It is rare, so one more query does no harm.

    The start is the latest start of the alert's newest episode while that fires, and for a resolve also after
    its end, so that the same body again changes nothing. Otherwise it is `now`. It is never after the end.
    """
    undated = [alert for alert in payload.alerts if alert["starts_at"] is None]
    if not undated:
        return
    fingerprints = [alert["fingerprint"] for alert in undated]
    newest = Episode.objects.filter(fingerprint__in=fingerprints, is_latest=True)
    latest_start = Coalesce("latest_start_at", "starts_at")
    known = {row[0]: row[1:] for row in newest.values_list("fingerprint", latest_start, "status")}
    for alert in undated:
        began, status = known.get(alert["fingerprint"], (now, ""))
        if alert["status"] == "firing" and status != Episode.Status.FIRING:
            began = now
        if alert["ends_at"]:  # an end before the episode's start belongs to an earlier one
            began = min(began, datetime.fromisoformat(alert["ends_at"]))
        alert["starts_at"] = began.isoformat()
        alert["dedup_key"] = dedup_key(alert["fingerprint"], alert["starts_at"])


def is_storable(alert: dict[str, Any], payload: Payload) -> bool:
    """Whether PostgreSQL can store the alert; if not, sets it aside.

    It is rare, so a query each does no harm.
    """
    try:
        savepoint = transaction.atomic() if connection.in_atomic_block else nullcontext()
        with savepoint, connection.cursor() as cursor:
            cursor.execute(
                "SELECT starts_at, ends_at, labels, annotations FROM json_to_record(%s::json) AS alert("
                "starts_at timestamptz, ends_at timestamptz, labels jsonb, annotations jsonb, summary text)",
                [json.dumps(alert)],
            )
    except DataError as problem:
        reason = clean(str(problem)).splitlines()[0]
        payload.set_aside.append({"position": -1, "reason": reason, "excerpt": json.dumps(alert)[:500]})
        return False
    return True


def store_failed(problem: NotAPayload, envelope: Envelope) -> Receipt:
    """Stores the receipt of a body that is not a payload. An operator can look at it and process it again."""
    return Receipt.objects.create(
        outcome=Receipt.Outcome.FAILED,
        reason=clean(str(problem)),
        remote_address=envelope.remote_address,
        request_id=envelope.request_id,
        body=envelope.body,
        size=len(envelope.body),
    )
