"""Signs of life: the worker's own, and the Watchdog alert that always fires."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils import timezone


class Heartbeat(models.Model):
    WORKER = "worker"  # beat -> broker -> worker -> database went round
    WATCHDOG = "watchdog"  # Prometheus -> Alertmanager -> webhook went round

    name = models.CharField(max_length=20, primary_key=True)
    last_seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def beat(cls, name: str, at: datetime | None = None) -> None:
        cls.objects.update_or_create(name=name, defaults={"last_seen_at": at or timezone.now()})
