"""Decides whether a resolve from Alertmanager is accepted, or stays unconfirmed until Prometheus confirms it.

Alertmanager resolves an alert itself when Prometheus has not mentioned it for some minutes (four times the
longer of its evaluation interval and 1 minute). So a resolve is accepted only while Prometheus and the
Watchdog show signs of life. Where no Prometheus has ever answered Amani, no resolve could be confirmed later:
there every resolve is accepted, whatever the state of the Watchdog.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from observability.models import Heartbeat

# Selects one row, `is_given`: no watched sign of life is overdue or was reported as ended, or no Prometheus
# ever answered that could confirm an end later. SQL, because it is also a part of `ingest.STORE`.
TRUST = f"""SELECT NOT EXISTS (
        SELECT FROM observability_heartbeat AS sign
        JOIN json_to_recordset(%(overdue_before)s::json) AS limits(name text, seen_since timestamptz)
             USING (name)
        WHERE sign.last_seen_at < limits.seen_since OR sign.ended_at IS NOT NULL)
    OR NOT EXISTS (
        SELECT FROM observability_heartbeat
        WHERE name = '{Heartbeat.PROMETHEUS}' AND last_seen_at IS NOT NULL) AS is_given"""  # noqa: S608  (a constant)


def prometheus_silent_before(now: datetime) -> datetime:
    """Returns the time since which Prometheus must have answered the worker, or it counts as silent."""
    return now - timedelta(seconds=settings.PROMETHEUS_SILENT_AFTER_SECONDS)


def overdue_before(now: datetime) -> dict[str, datetime]:
    """Returns, for each sign of life that is watched, the time since which it must have been seen."""
    if not settings.PROMETHEUS_URL:
        return {}
    return {
        Heartbeat.WATCHDOG: now - timedelta(seconds=settings.WATCHDOG_TIMEOUT_SECONDS),
        Heartbeat.PROMETHEUS: prometheus_silent_before(now),
    }


def overdue_before_as_json(now: datetime) -> str:
    """Returns the parameter of TRUST."""
    limits = overdue_before(now).items()
    return json.dumps([{"name": name, "seen_since": moment.isoformat()} for name, moment in limits])


def can_trust_resolves(now: datetime) -> bool:
    """Whether a resolve is accepted without confirmation."""
    with connection.cursor() as cursor:
        cursor.execute(TRUST, {"overdue_before": overdue_before_as_json(now)})
        row = cursor.fetchone()
    return bool(row and row[0])


def unmentioned_before(now: datetime) -> datetime:
    """Returns the time since which a sender must have mentioned a firing alert."""
    return now - timedelta(seconds=settings.ALERT_UNMENTIONED_AFTER_SECONDS)


def resolves_are_unchecked() -> bool:
    """Whether no Prometheus has ever answered Amani, so that resolves are accepted without confirmation."""
    answered = Heartbeat.objects.filter(pk=Heartbeat.PROMETHEUS, last_seen_at__isnull=False)
    return not settings.PROMETHEUS_URL or not answered.exists()
