"""Spans wait here and leave in batches, and none is lost without being counted.

The SDK's BatchSpanProcessor drops spans with a log line only, and its shutdown waits up to 30 seconds for a
collector that is gone. Here every span that ended is counted once more when it is exported or dropped, in
metrics that survive a kill -9, and a process ends within the time it is given.
"""

import logging
import os
import threading
import time
from collections import deque

from opentelemetry import context
from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # the SDK's own processors use it; there is no public name
)
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

from core.request_id import request_id
from observability.metrics import spans_dropped, spans_ended, spans_exported

logger = logging.getLogger(__name__)


class Batches(SpanProcessor):
    """At most `queue_size` spans wait; a thread sends them every `delay_seconds`, or when a batch is full."""

    def __init__(
        self, exporter: SpanExporter, *, queue_size: int, batch_size: int, delay_seconds: float
    ) -> None:
        self.exporter = exporter
        self.queue_size = queue_size
        self.batch_size = min(batch_size, queue_size)
        self.delay_seconds = delay_seconds
        self.is_failing = False
        self.begin()

    def begin(self) -> None:
        """An empty queue and a thread of this process."""
        self.process_id = os.getpid()
        self.queue: deque[ReadableSpan] = deque()
        self.in_flight = 0
        self.is_ending = False
        self.is_flushing = False
        self.lock = threading.Lock()
        self.wake = threading.Event()
        self.thread = threading.Thread(target=self.run, name="spans", daemon=True)
        self.thread.start()

    # --- called by whoever makes spans ---

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
        # An operation of the cache is found through its request, and this adds its id when it ends.
        if span.kind is SpanKind.CLIENT or span.kind is SpanKind.SERVER:
            return
        identifier = request_id.get()
        if identifier:
            span.set_attribute("amani.request_id", identifier)

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self.process_id != os.getpid():  # forked since: the parent sends what the parent made
            self.begin()
        spans_ended.inc()
        with self.lock:
            has_room = len(self.queue) < self.queue_size and not self.is_ending
            if has_room:
                self.queue.append(span)
            is_full = len(self.queue) >= self.batch_size
        if not has_room:
            spans_dropped["exit" if self.is_ending else "queue_full"].inc()
        if is_full:
            self.wake.set()

    # --- the thread ---

    def run(self) -> None:
        context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, value=True))
        is_ending = False
        while not is_ending:
            is_due = not self.wake.wait(self.delay_seconds)
            self.wake.clear()
            is_ending = self.is_ending  # asked before the last look at the queue, which takes nothing more
            self.send_waiting(everything=is_ending or self.is_flushing, something=is_due)

    def send_waiting(self, *, everything: bool, something: bool) -> None:
        """Full batches; `something`: also one that is not. What comes meanwhile waits for the next batch, or
        a busy process would send its spans one by one."""
        least = 1 if everything or something else self.batch_size
        while len(self.queue) >= least:
            self.send(self.take())
            least = 1 if everything else self.batch_size

    def take(self) -> list[ReadableSpan]:
        with self.lock:
            batch = [self.queue.popleft() for _ in range(min(self.batch_size, len(self.queue)))]
            self.in_flight = len(batch)
        return batch

    def send(self, batch: list[ReadableSpan]) -> None:
        try:
            is_sent = self.exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # a thread's edge: whatever an exporter does, the next batch gets its chance
            logger.exception("spans_not_exported")
            is_sent = False
        with self.lock:
            count, self.in_flight = self.in_flight, 0  # 0 when `stop` has counted them as dropped
        (spans_exported if is_sent else spans_dropped["export_failed"]).inc(count)
        self.tell(is_failing=not is_sent)

    def tell(self, *, is_failing: bool) -> None:
        """One line when the collector goes, one when it is back."""
        if is_failing != self.is_failing:
            self.is_failing = is_failing
            if is_failing:
                logger.warning("spans_not_exported", extra={"hint": "Is the collector at OTLP_ENDPOINT up?"})
            else:
                logger.info("spans_exported_again")

    # --- the end ---

    def begin_to_stop(self) -> None:
        """Returns at once, while the thread sends what waits and ends."""
        with self.lock:
            self.is_ending = True
        self.wake.set()

    def stop(self, timeout: float) -> None:
        """Sends what waits; returns after `timeout` seconds at the latest."""
        self.begin_to_stop()
        self.thread.join(timeout * 0.8)
        if self.thread.is_alive():
            self.exporter.shutdown()  # ends its pause between two tries
            self.thread.join(timeout * 0.2)
        with self.lock:
            lost = self.in_flight + len(self.queue)
            self.in_flight = 0
            self.queue.clear()
        if lost:
            spans_dropped["exit"].inc(lost)
            logger.warning("spans_dropped_at_exit", extra={"count": lost})

    def shutdown(self) -> None:
        self.stop(2.0)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Waits until nothing waits any more; False when that took too long. The benchmarks call it."""
        deadline = time.monotonic() + timeout_millis / 1000
        self.is_flushing = True
        while self.is_waiting() and time.monotonic() < deadline:
            self.wake.set()
            time.sleep(0.002)
        self.is_flushing = False
        return not self.is_waiting()

    def is_waiting(self) -> bool:
        with self.lock:
            return bool(self.queue) or self.in_flight > 0
