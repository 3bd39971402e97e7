"""How events leave: the SDK's own thread and queue, with a count of what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentry_sdk.transport import HttpTransport

from observability.metrics import record_sentry_event

if TYPE_CHECKING:
    from sentry_sdk.envelope import Envelope, Item

COUNTED = ("error", "transaction")
# By before_send_handler, or by somebody's event processor.
FILTERS = ("before_send", "event_processor", "sample_rate")


class CountingTransport(HttpTransport):
    """`captured` counts what is to be sent, `dropped` what will not arrive, `filtered` what nobody wanted."""

    TIMEOUT = 5  # seconds; the SDK's 30 would hold the queue's other hundred events as long each

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.waiting = 0

    def capture_envelope(self, envelope: Envelope) -> None:
        count = events_in(envelope)
        record_sentry_event("captured", count)
        self.waiting += count
        super().capture_envelope(envelope)

    def _send_envelope(self, envelope: Envelope) -> None:
        try:
            super()._send_envelope(envelope)
        finally:
            self.waiting -= events_in(envelope)

    def record_lost_event(
        self, reason: str, data_category: Any = None, item: Item | None = None, *, quantity: int = 1
    ) -> None:
        category = data_category if item is None else item.data_category
        if category in COUNTED:
            record_sentry_event("filtered" if reason in FILTERS else "dropped", quantity)
        super().record_lost_event(reason, data_category, item, quantity=quantity)

    def on_dropped_event(self, reason: str) -> None:
        """Sentry's own refusal is the one loss that the SDK doesn't record: the server counts it."""
        if reason == "status_429":
            record_sentry_event("dropped")

    def kill(self) -> None:
        """Called at the end, after the flush: what still waits is lost."""
        record_sentry_event("dropped", max(self.waiting, 0))
        self.waiting = 0
        super().kill()


def events_in(envelope: Envelope) -> int:
    return sum(item.data_category in COUNTED for item in envelope.items)
