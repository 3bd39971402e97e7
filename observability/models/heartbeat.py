"""Defines signs of life: of the worker, of Prometheus, and of the Watchdog alert that always fires."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils import timezone


class Heartbeat(models.Model):
    """One row for each sign of life.

    docs/operations.md ("Signs of life") explains each field before the first sign and after a pause of Amani.
    """

    WORKER = "worker"  # beat -> broker -> worker -> database works
    WATCHDOG = "watchdog"  # Prometheus -> Alertmanager -> webhook works
    PROMETHEUS = "prometheus"  # its API answered the worker
    SILENCES = "silences"  # the worker has compared Alertmanager's silences with its rows

    name = models.CharField(max_length=20, primary_key=True)
    last_seen_at = models.DateTimeField(null=True, default=timezone.now, help_text="Empty: never.")
    silent_seconds = models.FloatField(
        default=0.0,
        db_default=0.0,
        help_text="How long Amani has run since then without seeing it.",
    )
    watching_since = models.DateTimeField(
        null=True, help_text="Since when it has been seen without a long gap (worker, Prometheus)."
    )
    ended_at = models.DateTimeField(
        null=True, help_text="Watchdog only: when Alertmanager reported that it had ended."
    )

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def beat(cls, name: str, at: datetime | None = None) -> None:
        """Stores that the sign was seen at `at` (default: now)."""
        seen = {"last_seen_at": at or timezone.now(), "silent_seconds": 0.0, "ended_at": None}
        cls.objects.update_or_create(name=name, defaults=seen)

    @classmethod
    def end(cls, name: str, at: datetime) -> None:
        """Stores that its sender reported at `at` that the sign has ended."""
        cls.objects.update_or_create(
            name=name, defaults={"ended_at": at}, create_defaults={"last_seen_at": None, "ended_at": at}
        )
