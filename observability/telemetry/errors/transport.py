"""Sends events by the SDK's own thread and queue, and counts how many arrive or are lost."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from sentry_sdk.transport import HttpTransport

from observability.metrics import record_sentry_event

if TYPE_CHECKING:
    from sentry_sdk.envelope import Envelope, Item

COUNTED = ("error", "transaction")
# The SDK's reasons for events that before_send_handler or an event processor left out.
FILTERS = ("before_send", "event_processor")


class CountingTransport(HttpTransport):
    """Counts each event as `captured` when it is queued, and as `dropped` (or `filtered`) unless it is
    sent."""

    TIMEOUT = 5  # seconds; with the SDK's 30 the queue would overflow six times sooner if Sentry hangs

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.lock = Lock()
        self.waiting = 0
        self.ended = False

    def capture_envelope(self, envelope: Envelope) -> None:
        count = events_in(envelope)
        record_sentry_event("captured", count)
        self.change_waiting(count)
        super().capture_envelope(envelope)

    def turns_away(self) -> bool:
        """Whether an event would be lost because the queue is full.

        Counts it, so that it need not be built.
        """
        if self.is_healthy():
            return False
        record_sentry_event("captured")
        self.change_waiting(1)
        self.record_lost_event("queue_overflow", "error")
        return True

    def _send_envelope(self, envelope: Envelope) -> None:
        try:
            super()._send_envelope(envelope)
        finally:
            self.change_waiting(-events_in(envelope))

    def record_lost_event(
        self, reason: str, data_category: Any = None, item: Item | None = None, *, quantity: int = 1
    ) -> None:
        category = data_category if item is None else item.data_category
        if category in COUNTED:
            if reason == "queue_overflow":
                self.change_waiting(-quantity)
            self.count("filtered" if reason in FILTERS else "dropped", quantity)
        super().record_lost_event(reason, data_category, item, quantity=quantity)

    def on_dropped_event(self, reason: str) -> None:
        """Counts a 429: the only loss that the SDK does not record, because Sentry counts it itself."""
        if reason == "status_429":
            self.count("dropped", 1)

    def kill(self) -> None:
        """Ends the transport after the flush. Events that still wait are lost."""
        self.count("dropped", self.waiting)
        self.ended = True
        super().kill()

    def count(self, outcome: str, quantity: int) -> None:
        if not self.ended:
            record_sentry_event(outcome, quantity)

    def change_waiting(self, by: int) -> None:
        with self.lock:
            self.waiting += by


def events_in(envelope: Envelope) -> int:
    return sum(item.data_category in COUNTED for item in envelope.items)
