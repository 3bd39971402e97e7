"""Celery tasks that process rows in the database. They are idempotent, and a lost one is started again."""

from __future__ import annotations

from celery import shared_task

from observability.alerts import pipeline, pruning
from observability.alerts.delivery import drain
from observability.alerts.delivery.claim import is_anything_due
from observability.alerts.delivery.sender import free_abandoned
from observability.notifiers import registry
from observability.rules.preview import work as preview_work
from observability.rules.publication import watching
from observability.rules.publication import work as publication_work
from observability.silences import watch as silence_watch
from observability.silences import work as silence_work


@shared_task
def deliver_channel(channel: str) -> None:
    """Sends the due deliveries of `channel`."""
    drain(channel)


@shared_task
def deliver_due() -> None:
    """Enqueues `deliver_channel` for each channel with a due delivery. Beat schedules it every second."""
    for channel in registry.NOTIFIERS:
        free_abandoned(channel)
        if is_anything_due(channel):
            deliver_channel.apply_async((channel,), expires=60)


@shared_task
def watch_pipeline() -> None:
    """Runs the checks of the alert pipeline. Beat schedules it every ten seconds."""
    pipeline.watch()


@shared_task
def forget_old_history() -> None:
    """Deletes alerts, deliveries and receipts after ALERT_HISTORY_DAYS. Beat schedules it every hour."""
    pruning.forget_old()


@shared_task
def publish_rules() -> None:
    """Gives Prometheus the version of the rules that waits. Beat schedules it every ten seconds."""
    publication_work.run_due()


@shared_task
def apply_silences() -> None:
    """Tells Alertmanager what its silences should be. Beat schedules it every five seconds."""
    silence_work.run_due()


@shared_task
def watch_silences() -> None:
    """Compares Alertmanager's silences with the rows. Beat schedules it every fifteen seconds."""
    silence_watch.watch()


@shared_task
def compute_previews() -> None:
    """Computes the previews of rules that wait. Beat schedules it every ten seconds."""
    preview_work.run_due()


@shared_task
def watch_published_rules() -> None:
    """Compares the rules of Prometheus with the published ones. Beat schedules it every five minutes."""
    watching.watch()
