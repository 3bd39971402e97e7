"""Says whether a resolve from Alertmanager can be believed.

Alertmanager ends an alert by itself when Prometheus has not mentioned it for some minutes (four times the
longer of its evaluation interval and 1 minute). So a resolve counts only while Prometheus and the Watchdog
show signs of life. Where no Prometheus ever answered, none can confirm a resolve that was not believed: then
resolves are taken on Alertmanager's word, whatever the Watchdog says.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from observability.models import Heartbeat


def prometheus_silent_before(now: datetime) -> datetime:
    """Returns the moment since which Prometheus must have answered the worker."""
    return now - timedelta(seconds=settings.PROMETHEUS_SILENT_AFTER_SECONDS)


def overdue_before(now: datetime) -> dict[str, datetime]:
    """Sign of life → the time since which it must have been seen, for the signs that are watched."""
    if not settings.PROMETHEUS_URL:
        return {}
    return {
        Heartbeat.WATCHDOG: now - timedelta(seconds=settings.WATCHDOG_TIMEOUT_SECONDS),
        Heartbeat.PROMETHEUS: prometheus_silent_before(now),
    }


def can_trust_resolves(now: datetime) -> bool:
    """Whether no watched sign of life is overdue or has ended. `ingest.STORE` asks the same in SQL."""
    if resolves_are_unchecked():
        return True
    silent = Q()
    for name, moment in overdue_before(now).items():
        silent |= Q(name=name) & (Q(last_seen_at__lt=moment) | Q(ended_at__isnull=False))
    return not Heartbeat.objects.filter(silent).exists()


def unmentioned_before(now: datetime) -> datetime:
    """Returns the moment since which a sender must have mentioned a firing alert."""
    return now - timedelta(seconds=settings.ALERT_UNMENTIONED_AFTER_SECONDS)


def resolves_are_unchecked() -> bool:
    """Whether no Prometheus has ever answered Amani, so that none can confirm a resolve."""
    answered = Heartbeat.objects.filter(pk=Heartbeat.PROMETHEUS, last_seen_at__isnull=False)
    return not settings.PROMETHEUS_URL or not answered.exists()
