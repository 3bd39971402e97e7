"""Celery tasks: they come and look at the rows. Running one twice, or never, changes no outcome."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from observability.alerts import pipeline
from observability.alerts.delivery import drain
from observability.alerts.delivery.claim import due
from observability.alerts.delivery.sender import free_abandoned
from observability.notifiers import registry


@shared_task
def deliver_channel(channel: str) -> None:
    drain(channel)


@shared_task
def deliver_due() -> None:
    """Beat's sweep: wakes a sender for each channel on which something is due."""
    for channel in registry.NOTIFIERS:
        free_abandoned(channel)
        if due(channel, timezone.now()).exists():
            deliver_channel.apply_async((channel,), expires=60)


@shared_task
def watch_pipeline() -> None:
    pipeline.watch()
