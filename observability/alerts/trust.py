"""Decides whether a resolve from Alertmanager is accepted, or stays unconfirmed until Prometheus confirms it.

Alertmanager resolves an alert itself when Prometheus has not mentioned it for some minutes (four times the
longer of its evaluation interval and 1 minute). So a resolve is accepted only while Prometheus and the
Watchdog show signs of life. Where no Prometheus has ever answered Amani, no resolve could be confirmed later:
there every resolve is accepted, whatever the state of the Watchdog.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from observability.models import Heartbeat


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


def can_trust_resolves(now: datetime) -> bool:
    """Whether no watched sign of life is overdue or has ended. `ingest.STORE` decides the same in SQL."""
    if resolves_are_unchecked():
        return True
    silent = Q()
    for name, moment in overdue_before(now).items():
        silent |= Q(name=name) & (Q(last_seen_at__lt=moment) | Q(ended_at__isnull=False))
    return not Heartbeat.objects.filter(silent).exists()


def unmentioned_before(now: datetime) -> datetime:
    """Returns the time since which a sender must have mentioned a firing alert."""
    return now - timedelta(seconds=settings.ALERT_UNMENTIONED_AFTER_SECONDS)


def resolves_are_unchecked() -> bool:
    """Whether no Prometheus has ever answered Amani, so that resolves are accepted without confirmation."""
    answered = Heartbeat.objects.filter(pk=Heartbeat.PROMETHEUS, last_seen_at__isnull=False)
    return not settings.PROMETHEUS_URL or not answered.exists()
