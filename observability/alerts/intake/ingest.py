"""Stores a payload: receipt, episodes, timeline and planned deliveries in one SQL statement.

One statement is one transaction: everything is there before the webhook is answered, or nothing is.
A payload is a snapshot, which may be late, doubled or from one of several senders. An alert is known by its
fingerprint; its start differs between senders and changes with their restarts. The rules, for one alert:

- It is not known, or its newest episode ended before the start that is reported: a new episode.
- Firing while it fires: nothing, or another start of the same episode. The earliest start is kept.
- Resolved while it fires: the end of the episode, unless the reported end lies before a start of it.
- Resolved while Prometheus or the Watchdog is silent: an unconfirmed end. Alertmanager resolves by itself
  what Prometheus no longer mentions, so the alert goes on as firing until `confirming` has asked Prometheus.
- Firing, but with a start that lies before the end of its newest episode: a late snapshot, or the truth
  (Alertmanager lost sight of Prometheus for a while); `reopening` asks Alertmanager.
- Resolved while it is resolved: nothing.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from django.conf import settings
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)
from django.db.backends.utils import CursorWrapper
from django.db.models.functions import Coalesce
from django.utils import timezone

from observability.alerts import trust
from observability.alerts.intake.payload import NotAPayload, Payload, clean, dedup_key
from observability.alerts.intake.routing import reason_not_to_notify
from observability.models import Episode, Heartbeat, Receipt
from observability.notifiers import registry
from observability.notifiers.base import Kind

PRIORITY_PAGE = 0
PRIORITY_FIRST_WORD = 1
PRIORITY_UPDATE = 5
CONFIRMATION_EVERY = timedelta(minutes=5)
SQLSTATES_TO_REPEAT = {"40001", "40P01"}  # serialization failure, deadlock: the same again will pass

# The latest moment that certainly belongs to an episode which has ended. Its end is what its sender says, but
# not later than Amani heard of it; GREATEST and LEAST skip what is NULL.
ENDED_AT = "GREATEST(known.starts_at, known.latest_start_at, LEAST(known.ends_at, known.resolved_at))"
LATEST_START = "GREATEST(known.starts_at, known.latest_start_at)"

# What an incoming row (EXCLUDED) says about the newest episode of its fingerprint (`known`). A resolve that
# names the latest start ends the episode whatever its end says.
IS_END = f"""(known.status = 'firing' AND EXCLUDED.status = 'resolved' AND known.unconfirmed_at IS NULL
    AND (EXCLUDED.ends_at IS NULL OR GREATEST(EXCLUDED.starts_at, EXCLUDED.ends_at) >= {LATEST_START}))"""
IS_OTHER_START = f"""(known.status = 'firing' AND EXCLUDED.status = 'firing'
    AND (EXCLUDED.starts_at > {LATEST_START}
         OR EXCLUDED.starts_at < known.starts_at
            AND (known.previous_end_at IS NULL OR EXCLUDED.starts_at > known.previous_end_at)))"""
IS_ANOTHER = f"(known.status = 'resolved' AND EXCLUDED.starts_at > {ENDED_AT})"
IS_DOUBT = f"""(known.status = 'resolved' AND EXCLUDED.status = 'firing' AND known.refired_at IS NULL
    AND NOT {IS_ANOTHER})"""
# A confirmation is written only now and then, or each repeat would rewrite every row of its group.
IS_CONFIRMATION = """(known.status = 'firing' AND EXCLUDED.status = 'firing'
    AND known.confirmed_at < %(confirmed_before)s)"""

# The columns of a new episode, and their values from `incoming` and `trust`. `last_change` of a resolve that
# cannot be believed is `unconfirmed`; a new episode of it is resolved all the same.
COLUMNS = """fingerprint, starts_at, ends_at, status, severity, severity_is_unknown, not_notified, alertname,
    summary, labels, annotations, generator_url, dedup_key, source, first_seen_at, confirmed_at, resolved_at,
    round, is_latest, last_change"""
VALUES = """incoming.fingerprint, incoming.starts_at, incoming.ends_at, incoming.status, incoming.severity,
    incoming.severity_is_unknown, incoming.not_notified, incoming.alertname, incoming.summary,
    incoming.labels, incoming.annotations, incoming.generator_url, incoming.dedup_key, 'alertmanager',
    %(now)s, %(now)s, CASE WHEN incoming.status = 'resolved' THEN %(now)s END, 0, true,
    CASE WHEN incoming.status = 'firing' THEN 'fired' WHEN trust.is_given THEN 'resolved'
         ELSE 'unconfirmed' END"""
RETURNED = """known.id, known.fingerprint, known.severity, known.round,
    CASE WHEN known.last_change = 'unconfirmed' AND known.status = 'resolved' THEN 'resolved'
         ELSE known.last_change END AS change,
    known.labels ->> 'notified_by' IS DISTINCT FROM 'alertmanager' AS is_ours_to_tell"""

# receipt_id  the receipt's key, known before its row is written
# incoming    the alerts of the payload, one for each fingerprint, in the order of their fingerprints
# trust       whether a resolve can be believed: no sign of life is overdue or was reported as ended, or no
#             Prometheus ever answered that could confirm it
# touched     new episodes, and newest episodes that the payload changes; `change` says how. One that has
#             ended before the incoming start is no longer the newest (`retired`)
# another     the episodes that begin in place of those
# changed     what tells something new
# timeline    one event for each of them
# planned     their deliveries: one for each channel of the severity, but none where Alertmanager notifies
#             by itself, and no unconfirmed end where the notifier does not handle that
# receipt     the body as it came
# No part looks up stored episodes but by the upsert's index: a plan that was made while the table was small
# would read all of it for each payload.
STORE = f"""
WITH receipt_id AS MATERIALIZED (
    SELECT coalesce(%(known_receipt_id)s::bigint,
                    nextval(pg_get_serial_sequence('observability_receipt', 'id'))) AS id
), incoming AS (
    SELECT * FROM json_to_recordset(%(alerts)s::json) AS alert(
        fingerprint text, starts_at timestamptz, ends_at timestamptz, status text, severity text,
        severity_is_unknown boolean, not_notified text, alertname text, summary text, labels jsonb,
        annotations jsonb, generator_url text, dedup_key text)
), trust AS MATERIALIZED (
    SELECT NOT EXISTS (
        SELECT FROM observability_heartbeat AS sign
        JOIN json_to_recordset(%(overdue_before)s::json) AS late(name text, moment timestamptz) USING (name)
        WHERE sign.last_seen_at < late.moment OR sign.ended_at IS NOT NULL)
        OR NOT EXISTS (
            SELECT FROM observability_heartbeat
            WHERE name = '{Heartbeat.PROMETHEUS}' AND last_seen_at IS NOT NULL) AS is_given
), touched AS (
    INSERT INTO observability_episode AS known ({COLUMNS})
    SELECT {VALUES} FROM trust CROSS JOIN incoming
    ON CONFLICT (fingerprint) WHERE is_latest DO UPDATE
        SET last_change = CASE
                WHEN {IS_ANOTHER} THEN 'retired'
                WHEN EXCLUDED.status = 'resolved' THEN EXCLUDED.last_change
                WHEN known.status = 'resolved' THEN 'refired'
                WHEN {IS_OTHER_START} THEN 'restarted'
                ELSE 'confirmed' END,
            is_latest = NOT {IS_ANOTHER},
            status = CASE WHEN known.status = 'resolved' THEN 'resolved'
                          WHEN EXCLUDED.last_change = 'resolved' THEN 'resolved' ELSE 'firing' END,
            resolved_at = CASE WHEN known.status = 'firing' AND EXCLUDED.last_change = 'resolved'
                               THEN %(now)s ELSE known.resolved_at END,
            unconfirmed_at = CASE WHEN known.status = 'firing' AND EXCLUDED.last_change = 'unconfirmed'
                                  THEN %(now)s ELSE known.unconfirmed_at END,
            refired_at = CASE WHEN known.status = 'resolved' AND NOT {IS_ANOTHER} THEN %(now)s END,
            ends_at = CASE WHEN known.status = 'firing' THEN COALESCE(EXCLUDED.ends_at, known.ends_at)
                           ELSE known.ends_at END,
            confirmed_at = CASE WHEN known.status = 'firing' AND EXCLUDED.status = 'firing'
                                THEN %(now)s ELSE known.confirmed_at END,
            starts_at = CASE WHEN {IS_OTHER_START} THEN LEAST(known.starts_at, EXCLUDED.starts_at)
                             ELSE known.starts_at END,
            latest_start_at = CASE WHEN {IS_OTHER_START} THEN GREATEST({LATEST_START}, EXCLUDED.starts_at)
                                   ELSE known.latest_start_at END
        WHERE {IS_END} OR {IS_ANOTHER} OR {IS_OTHER_START} OR {IS_DOUBT} OR {IS_CONFIRMATION}
    RETURNING {RETURNED}, {ENDED_AT} AS ended_at
), another AS (
    INSERT INTO observability_episode AS known ({COLUMNS}, previous_end_at)
    SELECT {VALUES}, touched.ended_at
    FROM touched JOIN incoming ON incoming.fingerprint = touched.fingerprint CROSS JOIN trust
    WHERE touched.change = 'retired'
    RETURNING {RETURNED}
), changed AS (
    SELECT id, fingerprint, severity, round, change, is_ours_to_tell FROM touched
    WHERE change IN ('fired', 'resolved', 'unconfirmed', 'restarted')
    UNION ALL SELECT * FROM another
), timeline AS (
    INSERT INTO observability_episodeevent (episode_id, at, kind, text, request_id, receipt_id)
    SELECT changed.id, %(now)s, changed.change,
           CASE WHEN changed.change = 'restarted' THEN (
               SELECT to_char(incoming.starts_at AT TIME ZONE 'UTC', '"Start: "YYYY-MM-DD HH24:MI:SS" UTC."')
               FROM incoming WHERE incoming.fingerprint = changed.fingerprint) ELSE '' END,
           %(request_id)s, receipt_id.id
    FROM changed, receipt_id
), planned AS (
    INSERT INTO observability_delivery (
        episode_id, channel, kind, digest_of, severity, round, priority, state, reason,
        created_at, next_attempt_at, attempt_count)
    SELECT changed.id, route.channel,
           CASE changed.change WHEN 'fired' THEN 'trigger' WHEN 'resolved' THEN 'resolve'
                               ELSE 'unconfirmed' END, '',
           changed.severity, changed.round,
           CASE WHEN changed.change <> 'fired' THEN %(update)s
                WHEN changed.severity = 'critical' THEN %(page)s ELSE %(first_word)s END,
           'pending', '', %(now)s, %(now)s, 0
    FROM changed
    JOIN json_to_recordset(%(routes)s::json) AS route(severity text, channel text, takes_unconfirmed boolean)
         ON route.severity = changed.severity
    WHERE changed.is_ours_to_tell AND changed.change <> 'restarted'
      AND (route.takes_unconfirmed OR changed.change <> 'unconfirmed')
    ON CONFLICT DO NOTHING
    RETURNING channel
), receipt AS (
    INSERT INTO observability_receipt (
        id, received_at, outcome, reason, receiver, group_key, alert_count, changed_count,
        truncated_alerts, set_aside, odd_fields, remote_address, request_id, body, size)
    SELECT receipt_id.id, %(now)s, %(outcome)s, %(reason)s, %(receiver)s, %(group_key)s, %(received)s,
           (SELECT count(*) FROM changed), %(truncated)s, %(set_aside)s::jsonb,
           %(odd_fields)s::jsonb, %(remote_address)s, %(request_id)s, %(body)s, %(size)s
    FROM receipt_id WHERE %(keep_receipt)s
)
SELECT receipt_id.id, (SELECT count(*) FROM changed),
       ARRAY(SELECT DISTINCT channel FROM planned) FROM receipt_id
"""  # noqa: S608  (put together from the constants above; every value is a parameter)


@dataclass(frozen=True, slots=True)
class Envelope:
    """How a body arrived, as received. `receipt_id` is set when a kept one is processed again."""

    body: bytes
    remote_address: str = ""
    request_id: str = ""
    receipt_id: int | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What a payload changed: nothing for a snapshot that was known already."""

    receipt_id: int
    changed: int  # episodes
    channels: list[str]  # with a new delivery


def store(payload: Payload, envelope: Envelope, *, keep_receipt: bool = True) -> Stored:
    """Stores `payload`. Raises a DatabaseError that is an outage when the database cannot for now."""
    date_undated(payload, timezone.now())
    for alert in payload.alerts:
        alert["not_notified"] = reason_not_to_notify(alert["severity"], alert["labels"])
    try:
        stored = run_statement(payload, envelope, keep_receipt=keep_receipt)
    except (DataError, IntegrityError):
        # One alert that passed our checks but not PostgreSQL's: find it and set it aside.
        payload.alerts = [alert for alert in payload.alerts if is_storable(alert, payload)]
        stored = run_statement(payload, envelope, keep_receipt=keep_receipt)
    if payload.watchdog_fires:
        Heartbeat.beat(Heartbeat.WATCHDOG)
    return stored


def run_statement(payload: Payload, envelope: Envelope, *, keep_receipt: bool) -> Stored:
    parameters = statement_parameters(payload, envelope, keep_receipt=keep_receipt, now=timezone.now())
    was_connected = connection.connection is not None
    try:
        return execute(parameters)
    except (OperationalError, InterfaceError, InternalError) as problem:
        if not is_worth_repeating(problem, was_connected=was_connected):
            raise
        return execute(parameters)


def is_worth_repeating(problem: Exception, *, was_connected: bool) -> bool:
    """After a conflict with another webhook, or when the kept connection turns out to be dead or read-only
    (for which observability/telemetry/database.py has closed it)."""
    if connection.in_atomic_block:
        return False
    if getattr(problem.__cause__, "sqlstate", None) in SQLSTATES_TO_REPEAT:
        return True
    connection.close_if_unusable_or_obsolete()
    return was_connected and connection.connection is None


def execute(parameters: dict[str, Any]) -> Stored:
    # Inside a caller's transaction a refused statement must not take the rest with it.
    savepoint = transaction.atomic() if connection.in_atomic_block else nullcontext()
    with savepoint, preparing_cursor() as cursor:
        cursor.execute(STORE, parameters)
        row = cursor.fetchone()
    assert row is not None  # noqa: S101  (the last SELECT always has one row)
    return Stored(*row)


def preparing_cursor() -> CursorWrapper:
    """A cursor whose statements are planned once for each connection: STORE takes longer to plan than to run.

    Django's own cursors write the parameters into the SQL, so that each body is a new statement. This one
    also goes without Django's health check, a round trip of its own: `run_statement` repeats instead.
    """
    if connection.queries_logged:  # only Django's own cursor can show what it sent
        return connection.cursor()
    connection.ensure_connection()
    driver = connection.connection
    # Behind a pooler nothing can be kept. Elsewhere once for each connection: PostgreSQL would plan anew for
    # each body, since it takes that for cheaper. The plan of STORE does not depend on the values.
    if not connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] and driver.prepare_threshold != 0:
        driver.prepare_threshold = 0
        driver.execute("SET plan_cache_mode = force_generic_plan")
    return connection.make_cursor(psycopg.Cursor(driver))  # type: ignore[arg-type]  # the stubs are wrong


def statement_parameters(
    payload: Payload, envelope: Envelope, *, keep_receipt: bool, now: datetime
) -> dict[str, Any]:
    return {
        "alerts": json.dumps(payload.alerts),
        "routes": json.dumps(routes()),
        "now": now,
        "confirmed_before": now - CONFIRMATION_EVERY,
        "overdue_before": json.dumps(overdue_signs(now)),
        "page": PRIORITY_PAGE,
        "first_word": PRIORITY_FIRST_WORD,
        "update": PRIORITY_UPDATE,
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


def overdue_signs(now: datetime) -> list[dict[str, str]]:
    """Signs of life without which a resolve is unconfirmed, each with when it must have been seen since."""
    return [
        {"name": name, "moment": moment.isoformat()} for name, moment in trust.overdue_before(now).items()
    ]


def routes() -> list[dict[str, Any]]:
    return [
        {
            "severity": severity,
            "channel": channel,
            "takes_unconfirmed": Kind.UNCONFIRMED in registry.get(channel).handles,
        }
        for severity, channels in settings.ALERT_ROUTES.items()
        for channel in channels
    ]


def summary_of_faults(payload: Payload) -> str:
    """What a receipt says in one line of the alerts set aside, and of those with odd fields."""
    of_all = f"of {payload.received} alerts"
    faults = (
        (len(payload.set_aside), f"{of_all} set aside", payload.set_aside),
        (payload.odd_count, f"{of_all} stored despite odd fields", payload.odd_fields),
    )
    return " ".join(
        f"{count} {what}; the first, alert {notes[0]['position']}: {notes[0]['reason']}."
        for count, what, notes in faults
        if count
    )


def date_undated(payload: Payload, now: datetime) -> None:
    """Gives a start to alerts whose sender gave none that can be used. Rare, so one query is fine.

    It is the latest start of the alert's newest episode while that fires, and for a resolve also afterwards:
    the same body again changes nothing. Else the alert begins when it arrives. None begins after its end.
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
    """Whether PostgreSQL can read the alert; if not, it is set aside. Rare, so one query each is fine."""
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
    """Keeps a body that is no payload, for an operator to look at and process again."""
    return Receipt.objects.create(
        outcome=Receipt.Outcome.FAILED,
        reason=clean(str(problem)),
        remote_address=envelope.remote_address,
        request_id=envelope.request_id,
        body=envelope.body,
        size=len(envelope.body),
    )
