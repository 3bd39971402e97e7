"""Wakes the senders of channels. A lost ring costs a second, until beat's next sweep, never an alert."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from core.doorbell import Doorbell

doorbell = Doorbell("observability.tasks.deliver_channel")


def ring_on_commit(channels: Iterable[str]) -> None:
    """Rings for `channels` once the caller's transaction has committed; at once when there is none."""
    wanted = tuple(channels)
    if wanted:
        transaction.on_commit(lambda: ring(wanted))


def ring(channels: Iterable[str]) -> None:
    for channel in channels:
        doorbell.ring(channel)
