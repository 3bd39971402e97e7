"""Every span that ended is exported or counted as dropped, and no collector can hold a process back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from observability.metrics import spans_dropped, spans_ended, spans_exported
from observability.telemetry.traces.counting import CountedSpans
from observability.tests.log_events import names_of
from observability.tests.otlp import OtlpReceiver
from observability.tests.waiting import PATIENCE_SECONDS, wait_until


class Exporter(SpanExporter):
    """Answers what the test says; `batches` are the sizes it was given."""

    def __init__(self, answer: Callable[[], SpanExportResult] = lambda: SpanExportResult.SUCCESS) -> None:
        self.answer = answer
        self.batches: list[int] = []
        self.shut_down = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.batches.append(len(spans))
        return self.answer()

    def shutdown(self) -> None:
        self.shut_down += 1


class Counted:
    """How much each counter has grown since it was made."""

    def __init__(self) -> None:
        self.before = self.values()

    def values(self) -> dict[str, float]:
        dropped = {reason: child._value.get() for reason, child in spans_dropped.items()}
        return {"ended": spans_ended._value.get(), "exported": spans_exported._value.get(), **dropped}

    def grown(self) -> dict[str, float]:
        """Only what has grown."""
        now = self.values()
        return {name: now[name] - self.before[name] for name in now if now[name] != self.before[name]}


def counted_spans(exporter: SpanExporter, **options: Any) -> CountedSpans:
    return CountedSpans(exporter, **({"queue_size": 100, "batch_size": 10, "delay_seconds": 60} | options))


def end_spans(spans: CountedSpans, count: int, **provider_options: Any) -> None:
    provider = TracerProvider(shutdown_on_exit=False, **provider_options)
    provider.add_span_processor(spans)
    tracer = provider.get_tracer("test")
    for number in range(count):
        tracer.start_span(f"span {number}").end()


def test_what_waits_leaves_at_the_end() -> None:
    counted, exporter = Counted(), Exporter()
    spans = counted_spans(exporter)
    end_spans(spans, 3)
    spans.stop(PATIENCE_SECONDS)
    assert exporter.batches == [3]
    assert counted.grown() == {"ended": 3, "exported": 3}


def test_a_flush_waits_until_what_waits_has_left() -> None:
    exporter = Exporter()
    spans = counted_spans(exporter)
    end_spans(spans, 3)
    assert spans.force_flush()
    assert exporter.batches == [3]
    spans.stop(PATIENCE_SECONDS)


def test_a_full_batch_leaves_at_once() -> None:
    exporter = Exporter()
    spans = counted_spans(exporter)
    end_spans(spans, 10)
    assert wait_until(lambda: exporter.batches == [10])
    spans.stop(PATIENCE_SECONDS)


def test_what_comes_while_a_batch_leaves_waits_for_the_next_batch() -> None:
    held = threading.Event()

    def hold() -> SpanExportResult:
        held.wait(PATIENCE_SECONDS)
        return SpanExportResult.SUCCESS

    exporter = Exporter(hold)
    spans = counted_spans(exporter)
    end_spans(spans, 10)
    assert wait_until(lambda: exporter.batches == [10])
    end_spans(spans, 23)
    held.set()
    assert wait_until(lambda: exporter.batches == [10, 10, 10])
    spans.stop(PATIENCE_SECONDS)
    assert exporter.batches == [10, 10, 10, 3]


def test_a_span_that_is_not_sampled_is_not_kept() -> None:
    counted, exporter = Counted(), Exporter()
    spans = counted_spans(exporter)
    end_spans(spans, 3, sampler=ALWAYS_OFF)
    spans.stop(PATIENCE_SECONDS)
    assert exporter.batches == []
    assert counted.grown() == {}


def test_more_than_the_queue_holds_is_dropped_and_counted() -> None:
    counted, held = Counted(), threading.Event()

    def hold() -> SpanExportResult:
        held.wait(PATIENCE_SECONDS)
        return SpanExportResult.SUCCESS

    exporter = Exporter(hold)
    spans = counted_spans(exporter, queue_size=20, batch_size=10)
    end_spans(spans, 10)
    assert wait_until(lambda: exporter.batches == [10])  # in flight, so the queue is empty
    end_spans(spans, 25)
    held.set()
    spans.stop(PATIENCE_SECONDS)
    assert counted.grown() == {"ended": 35, "exported": 30, "queue_full": 5}


@pytest.mark.parametrize("raises", [False, True])
def test_a_batch_that_nobody_takes_is_counted_and_the_next_is_tried(
    raises: bool, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([SpanExportResult.FAILURE, SpanExportResult.FAILURE, SpanExportResult.SUCCESS])

    def answer() -> SpanExportResult:
        result = next(answers)
        if raises and result is SpanExportResult.FAILURE:
            raise OSError("broken")
        return result

    counted, exporter = Counted(), Exporter(answer)
    spans = counted_spans(exporter, batch_size=1)
    with caplog.at_level(logging.INFO):
        end_spans(spans, 3)
        spans.stop(PATIENCE_SECONDS)
    assert exporter.batches == [1, 1, 1]
    assert counted.grown() == {"ended": 3, "exported": 1, "export_failed": 2}
    names = names_of(record for record in caplog.records if record.levelno < logging.ERROR)
    assert names == ["spans_not_exported", "spans_exported_again"]


def test_a_collector_that_hangs_holds_the_end_back_no_longer_than_told() -> None:
    counted, held = Counted(), threading.Event()

    def hold() -> SpanExportResult:
        held.wait(PATIENCE_SECONDS)
        return SpanExportResult.SUCCESS

    exporter = Exporter(hold)
    spans = counted_spans(exporter)
    end_spans(spans, 15)
    assert wait_until(lambda: exporter.batches == [10])
    spans.stop(0.5)  # had it waited for the collector, that would have taken the batch
    assert counted.grown() == {"ended": 15, "exit": 15}
    held.set()
    spans.ending.join(PATIENCE_SECONDS)
    assert counted.grown() == {"ended": 15, "exit": 15}  # what came late is not counted twice


class LateCollector(OtlpReceiver):
    """Takes what comes, and answers once `may_answer` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()

    def accept(self, protocol: Literal["http", "grpc"], raw: bytes, headers: dict[str, str]) -> bool:
        taken = super().accept(protocol, raw, headers)
        self.may_answer.wait(PATIENCE_SECONDS)
        return taken


def test_a_batch_whose_answer_comes_too_late_counts_as_dropped_though_the_collector_has_it() -> None:
    counted = Counted()
    with LateCollector() as collector:
        spans = counted_spans(OTLPSpanExporter(collector.traces_url, timeout=1), batch_size=3)
        end_spans(spans, 3)
        assert wait_until(lambda: counted.grown() == {"ended": 3, "export_failed": 3})
        assert wait_until(lambda: len(collector.spans()) == 3)
        collector.may_answer.set()
        end_spans(spans, 2)
        spans.stop(PATIENCE_SECONDS)
        assert len(collector.spans()) == 5
    assert counted.grown() == {"ended": 5, "exported": 2, "export_failed": 3}


def test_a_span_after_the_end_is_counted_as_dropped() -> None:
    counted, exporter = Counted(), Exporter()
    spans = counted_spans(exporter)
    spans.stop(PATIENCE_SECONDS)
    end_spans(spans, 2)
    assert counted.grown() == {"ended": 2, "exit": 2}


def test_many_threads_lose_nothing_uncounted() -> None:
    counted, exporter = Counted(), Exporter()
    spans = counted_spans(exporter, queue_size=50, batch_size=5, delay_seconds=0.001)
    threads = [threading.Thread(target=end_spans, args=(spans, 200)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans.stop(PATIENCE_SECONDS)
    grown = counted.grown()
    assert grown["ended"] == 1600
    assert grown["exported"] + grown.get("queue_full", 0) == 1600


def test_a_fork_counts_only_what_ends_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, exporter = Counted(), Exporter()
    spans = counted_spans(exporter)
    end_spans(spans, 3)
    monkeypatch.setattr("os.getpid", lambda: 1)  # as the child sees it; the parent sends its three
    end_spans(spans, 2)
    spans.stop(PATIENCE_SECONDS)
    assert exporter.batches == [2]
    assert counted.grown() == {"ended": 5, "exported": 2}


def test_an_exporter_is_shut_down_once() -> None:
    exporter = Exporter()
    spans = counted_spans(exporter)
    spans.stop(PATIENCE_SECONDS)
    spans.exporter.shutdown()
    assert exporter.shut_down == 1
