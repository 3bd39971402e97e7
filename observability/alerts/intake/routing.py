"""Decides whether Amani notifies about an alert, and why not. Stored with the alert: settings may change."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings

from observability.models import Episode


def sender_notifies(labels: Mapping[str, str]) -> bool:
    """Whether Alertmanager notifies Slack and PagerDuty itself, because the alert may mean that Amani
    fails."""
    return labels.get("notified_by") == "alertmanager"


def reason_not_to_notify(severity: str, labels: Mapping[str, str]) -> str:
    """Returns one of Episode.NotNotified; "" when the channels of the severity are notified."""
    if sender_notifies(labels):
        return Episode.NotNotified.SENDER_NOTIFIES.value
    return "" if settings.ALERT_ROUTES[severity] else Episode.NotNotified.SEVERITY_NOT_ROUTED.value
