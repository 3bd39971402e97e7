"""Whom an alert is for, and why nobody is notified. Asked when it is stored: settings may change later."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings

from observability.models import Episode


def sender_notifies(labels: Mapping[str, str]) -> bool:
    """Whether Alertmanager notifies people by itself, because Amani may be what is broken."""
    return labels.get("notified_by") == "alertmanager"


def reason_not_to_notify(severity: str, labels: Mapping[str, str]) -> str:
    """One of Episode.NotNotified; "" when the severity's channels are notified."""
    if sender_notifies(labels):
        return Episode.NotNotified.SENDER_NOTIFIES.value
    return "" if settings.ALERT_ROUTES[severity] else Episode.NotNotified.SEVERITY_NOT_ROUTED.value
