"""Counts each sampled span twice: when it ends, and when it is exported or dropped.

The SDK's BatchSpanProcessor sends the spans, and the stock exporter it is given. It drops spans with a log
line only and waits up to 30 seconds for a collector that is gone, so one class around it counts what goes in
and ends it in time, and one around the exporter counts what comes out. The counters lie in files that survive
a kill -9: `ended - exported - dropped` is what a kill lost.
"""

import os
import threading
from collections.abc import Sequence

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, TraceFlags

from core.request_id import request_id
from observability.metrics import spans_dropped, spans_ended, spans_exported

# A statement or an operation of the cache is found through its request; a request adds its id itself.
WITHOUT_REQUEST_ID = (SpanKind.CLIENT, SpanKind.SERVER)

log = structlog.get_logger(__name__)


class Outstanding:
    """Spans that ended and are neither exported nor dropped yet: `waiting` for a batch, or `in_flight`."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start at nothing; also in a fork, where the lock may have been held by another thread."""
        self.lock = threading.Lock()
        self.waiting = 0
        self.in_flight = 0
        self.is_closed = False

    def add(self, limit: int) -> bool:
        """Count one more waiting span. Return False, and count nothing, when `limit` wait or all is over."""
        with self.lock:
            has_room = self.waiting < limit and not self.is_closed
            self.waiting += has_room
        return has_room

    def take(self, count: int) -> None:
        """Count up to `count` waiting spans as in flight."""
        with self.lock:
            self.in_flight = min(count, self.waiting)
            self.waiting -= self.in_flight

    def settle(self) -> int:
        """Return how many spans were in flight; 0 when `give_up` has counted them already."""
        with self.lock:
            settled, self.in_flight = self.in_flight, 0
        return settled

    def give_up(self) -> int:
        """Return how many spans were outstanding, forget them, and take no more."""
        with self.lock:
            self.is_closed = True
            lost = self.waiting + self.in_flight
            self.waiting = self.in_flight = 0
        return lost


class CountingExporter(SpanExporter):
    """Counts what `exporter` exports and what it fails to export. May be shut down twice."""

    def __init__(self, exporter: SpanExporter, outstanding: Outstanding) -> None:
        self.exporter = exporter
        self.outstanding = outstanding
        self.is_failing = False
        self.is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.outstanding.take(len(spans))
        result = SpanExportResult.FAILURE
        try:
            result = self.exporter.export(spans)
        finally:  # an exception goes on to the SDK, which logs it
            is_sent = result is SpanExportResult.SUCCESS
            (spans_exported if is_sent else spans_dropped["export_failed"]).inc(self.outstanding.settle())
            self.log_change(is_failing=not is_sent)
        return result

    def log_change(self, *, is_failing: bool) -> None:
        """Write one line when exports begin to fail, and one when they succeed again."""
        if is_failing != self.is_failing:
            self.is_failing = is_failing
            if is_failing:
                log.warning("spans_not_exported", hint="Is the collector at OTLP_ENDPOINT up?")
            else:
                log.info("spans_exported_again")

    def shutdown(self) -> None:
        if not self.is_shut_down:
            self.is_shut_down = True
            self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.exporter.force_flush(timeout_millis)


class CountedSpans(SpanProcessor):
    """Passes sampled spans to a BatchSpanProcessor, counts them, and ends it within a given time."""

    def __init__(
        self, exporter: SpanExporter, *, queue_size: int, batch_size: int, delay_seconds: float
    ) -> None:
        """At most `queue_size` spans wait. A batch of at most `batch_size` leaves every `delay_seconds`, or
        as soon as it is full."""
        self.queue_size = queue_size
        self.outstanding = Outstanding()
        self.exporter = CountingExporter(exporter, self.outstanding)
        self.batches: SpanProcessor = BatchSpanProcessor(
            self.exporter,
            max_queue_size=queue_size,
            max_export_batch_size=min(batch_size, queue_size),
            schedule_delay_millis=delay_seconds * 1000,
        )
        self.begin()

    def begin(self) -> None:
        """Start the thread that will end `batches`. At exit it is too late: Python 3.12 starts none then."""
        self.process_id = os.getpid()
        self.outstanding.begin()
        self.is_ending = threading.Event()
        self.ending = threading.Thread(target=self.end_when_asked, name="spans-end", daemon=True)
        self.ending.start()

    def end_when_asked(self) -> None:
        self.is_ending.wait()
        self.batches.shutdown()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.kind in WITHOUT_REQUEST_ID:
            return
        identifier = request_id.get()
        if identifier:
            span.set_attribute("amani.request_id", identifier)

    def on_end(self, span: ReadableSpan) -> None:
        place = span.context
        if place is None or not place.trace_flags & TraceFlags.SAMPLED:
            return
        if self.process_id != os.getpid():  # in a fork: what waits belongs to the parent, which sends it
            self.begin()
        spans_ended.inc()
        if not self.is_ending.is_set() and self.outstanding.add(self.queue_size):
            self.batches.on_end(span)
        else:
            spans_dropped["exit" if self.is_ending.is_set() else "queue_full"].inc()

    def begin_to_stop(self) -> None:
        """Begin to send what waits, and return at once."""
        self.is_ending.set()

    def stop(self, timeout: float) -> None:
        """Send what waits, for `timeout` seconds at most, and count what is left as dropped."""
        self.begin_to_stop()
        self.ending.join(timeout * 0.8)
        if self.ending.is_alive():
            self.exporter.shutdown()  # ends its pause between two tries
            self.ending.join(timeout * 0.2)
        lost = self.outstanding.give_up()
        if lost:
            spans_dropped["exit"].inc(lost)
            log.warning("spans_dropped_at_exit", count=lost)

    def shutdown(self) -> None:
        self.stop(2.0)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits now. The SDK's processor ignores the timeout; the exporter has its own."""
        return self.batches.force_flush(timeout_millis)
