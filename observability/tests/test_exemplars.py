"""Exemplars of several processes: written by one, read by all, lost rather than wrong."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from prometheus_client import Counter, Histogram
from prometheus_client.samples import Exemplar

from observability.metrics import alert_deliveries, query_durations
from observability.telemetry.metrics import exemplars
from observability.telemetry.metrics.exemplars import INITIAL_BYTES, MAXIMUM_BYTES, RECORD, read_exemplars
from observability.telemetry.metrics.exposition import OPENMETRICS, TEXT, write_metrics
from observability.telemetry.metrics.slots import take_slot
from observability.telemetry.metrics.storage import store
from observability.tests.log_events import events_of, names_of
from observability.tests.samples import scraped

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c"
REQUEST = "request-0001"
BOUNDS = (0.1, 1.0)


@pytest.fixture
def directory(tmp_path: Path, settings: object) -> Iterator[Path]:
    """A metrics folder in which this process holds `web-0`."""
    settings.PROMETHEUS_MULTIPROC_DIR = str(tmp_path)  # type: ignore[attr-defined]
    store.attach(take_slot(tmp_path, "web"))
    yield tmp_path
    store.release()


@pytest.fixture
def histogram() -> Iterator[Histogram]:
    before = len(store.values)
    yield Histogram("traced_seconds", "Traced.", ["route"], registry=None, buckets=BOUNDS)
    del store.values[before:]


@pytest.fixture
def counter() -> Iterator[Counter]:
    before = len(store.values)
    yield Counter("traced_things", "Traced.", ["outcome"], registry=None)
    del store.values[before:]


def observe_elsewhere(directory: Path, histogram: Histogram, amount: float, trace: str) -> None:
    """In a process of its own, which then holds no slot any more."""
    child = os.fork()
    if child == 0:
        store.attach(take_slot(directory, "web"))
        histogram.labels("/a").observe(amount, {"trace_id": trace})
        os._exit(0)
    os.waitpid(child, 0)


def shown(name: str = "traced_seconds") -> dict[tuple[str, str], Exemplar]:
    """The exemplars of one OpenMetrics scrape, by route and bound."""
    return {
        (one.labels["route"], one.labels["le"]): one.exemplar
        for family in scraped()
        for one in family.samples
        if one.name == f"{name}_bucket" and one.exemplar
    }


def labels_shown() -> dict[tuple[str, str], dict[str, str]]:
    return {place: exemplar.labels for place, exemplar in shown().items()}


def test_a_buckets_exemplar_is_shown_with_value_trace_request_and_time(
    directory: Path, histogram: Histogram
) -> None:
    before = time.time()
    histogram.labels("/a").observe(0.25, {"trace_id": TRACE, "request_id": REQUEST})
    ((place, exemplar),) = shown().items()
    assert place == ("/a", "1.0")
    assert exemplar.labels == {"trace_id": TRACE, "request_id": REQUEST}
    assert exemplar.value == 0.25
    assert exemplar.timestamp is not None
    assert before - 0.001 <= float(exemplar.timestamp) <= time.time() + 0.001
    assert (directory / "exemplars_web-0.bin").stat().st_size == INITIAL_BYTES


def test_the_text_format_has_no_exemplars_and_is_otherwise_the_same(
    directory: Path, histogram: Histogram
) -> None:
    histogram.labels("/a").observe(0.25, {"trace_id": TRACE})
    text = write_metrics(TEXT).decode()
    assert TRACE not in text
    assert 'traced_seconds_bucket{le="1.0",route="/a"} 1.0\n' in text
    line = f'traced_seconds_bucket{{le="1.0",route="/a"}} 1.0 # {{trace_id="{TRACE}"}} 0.25 '
    assert line in write_metrics(OPENMETRICS).decode()


def test_without_exemplars_there_is_no_file(directory: Path, histogram: Histogram) -> None:
    histogram.labels("/a").observe(0.25)
    assert not list(directory.glob("exemplars_*"))
    assert shown() == {}


def test_a_counter_keeps_the_newest_exemplar_of_each_child_so_that_a_rare_failure_stays(
    directory: Path, counter: Counter
) -> None:
    counter.labels("failure").inc(1, {"trace_id": OTHER_TRACE, "request_id": REQUEST})
    for _ in range(3):
        counter.labels("success").inc(1, {"trace_id": TRACE})
    counter.labels("failure").inc()
    counter.labels("retry").inc(2)
    (family,) = [family for family in scraped() if family.name == "traced_things"]
    found = {one.labels["outcome"]: (one.value, one.exemplar) for one in family.samples}
    assert found["retry"] == (2.0, None)
    values = {outcome: (value, one and (one.labels, one.value)) for outcome, (value, one) in found.items()}
    assert values["failure"] == (2.0, ({"trace_id": OTHER_TRACE, "request_id": REQUEST}, 1.0))
    assert values["success"] == (3.0, ({"trace_id": TRACE}, 1.0))
    assert TRACE not in write_metrics(TEXT).decode()


def test_a_counters_exemplar_of_another_process_is_shown(directory: Path, counter: Counter) -> None:
    child = os.fork()
    if child == 0:
        store.attach(take_slot(directory, "worker"))
        counter.labels("failure").inc(1, {"trace_id": TRACE})
        os._exit(0)
    os.waitpid(child, 0)
    line = f'traced_things_total{{outcome="failure"}} 1.0 # {{trace_id="{TRACE}"}} 1.0 '
    assert line in write_metrics(OPENMETRICS).decode()


def test_each_bucket_of_each_child_keeps_its_newest(directory: Path, histogram: Histogram) -> None:
    histogram.labels("/a").observe(0.05, {"trace_id": OTHER_TRACE})
    histogram.labels("/a").observe(0.06, {"trace_id": TRACE})
    histogram.labels("/a").observe(7, {"trace_id": OTHER_TRACE})
    histogram.labels("/b").observe(7, {"trace_id": TRACE})
    histogram.labels("/b").observe(8)
    assert labels_shown() == {
        ("/a", "0.1"): {"trace_id": TRACE},
        ("/a", "+Inf"): {"trace_id": OTHER_TRACE},
        ("/b", "+Inf"): {"trace_id": TRACE},
    }


def test_the_newest_of_all_processes_is_shown_also_of_dead_ones(
    directory: Path, histogram: Histogram
) -> None:
    histogram.labels("/a").observe(0.5, {"trace_id": TRACE})
    observe_elsewhere(directory, histogram, 0.75, OTHER_TRACE)
    assert labels_shown() == {("/a", "1.0"): {"trace_id": OTHER_TRACE}}
    histogram.labels("/a").observe(0.5, {"trace_id": TRACE})
    assert labels_shown() == {("/a", "1.0"): {"trace_id": TRACE}}
    assert len(list(directory.glob("exemplars_*.bin"))) == 2


def test_the_next_holder_of_a_slot_writes_over_its_predecessors_records(
    directory: Path, histogram: Histogram
) -> None:
    observe_elsewhere(directory, histogram, 0.5, OTHER_TRACE)
    observe_elsewhere(directory, histogram, 7, OTHER_TRACE)
    observe_elsewhere(directory, histogram, 0.5, TRACE)
    assert labels_shown() == {("/a", "1.0"): {"trace_id": TRACE}, ("/a", "+Inf"): {"trace_id": OTHER_TRACE}}
    content = (directory / "exemplars_web-1.bin").read_bytes()
    assert len(list(exemplars.unpack_all(content))) == 2


@pytest.mark.parametrize(
    ("offered", "kept"),
    [
        ({"trace_id": TRACE, "request_id": "x" * 64}, {"trace_id": TRACE, "request_id": "x" * 64}),
        ({"trace_id": TRACE.upper()}, {"trace_id": TRACE}),
        ({"trace_id": TRACE, "request_id": "x" * 65}, {"trace_id": TRACE}),
        ({"trace_id": TRACE, "request_id": 'forged" 1\n'}, {"trace_id": TRACE}),
        ({"trace_id": TRACE, "request_id": "ключключ"}, {"trace_id": TRACE}),
        ({"trace_id": TRACE, "password": "secret"}, {"trace_id": TRACE}),
        ({"trace_id": "0" * 32}, None),
        ({"trace_id": TRACE[:-2]}, None),
        ({"trace_id": TRACE + "00"}, None),
        ({"trace_id": "z" * 32}, None),
        ({"trace_id": "ü" * 32}, None),
        ({"request_id": REQUEST}, None),
        ({}, None),
    ],
)
def test_only_well_formed_values_are_written(
    directory: Path, histogram: Histogram, offered: dict[str, str], kept: dict[str, str] | None
) -> None:
    histogram.labels("/a").observe(0.25, offered)
    assert list(labels_shown().values()) == ([kept] if kept else [])
    if kept:
        assert sum(len(name) + len(value) for name, value in kept.items()) <= 128


@pytest.mark.parametrize(
    ("age", "is_shown"), [(3500.0, True), (3700.0, False), (-50.0, True), (-70.0, False)]
)
def test_an_exemplar_is_shown_for_an_hour(
    directory: Path, histogram: Histogram, monkeypatch: pytest.MonkeyPatch, age: float, is_shown: bool
) -> None:
    histogram.labels("/a").observe(0.25, {"trace_id": TRACE})
    now = time.time() + age
    monkeypatch.setattr("observability.telemetry.metrics.exemplars.time.time", lambda: now)
    assert bool(shown()) == is_shown


def test_without_a_slot_exemplars_are_kept_in_memory_and_die_with_it(tmp_path: Path) -> None:
    assert store.slot is None
    histogram = query_durations["SELECT"]
    histogram.observe(0.3, {"trace_id": TRACE, "request_id": REQUEST})
    text = write_metrics(OPENMETRICS).decode()
    line = f'operation="SELECT"}} 1.0 # {{request_id="{REQUEST}",trace_id="{TRACE}"}} 0.3 '
    assert line in text
    alert_deliveries["slack", "failed"].inc(1, {"trace_id": OTHER_TRACE})
    failed = f'outcome="failed"}} 1.0 # {{trace_id="{OTHER_TRACE}"}} 1.0 '
    assert failed in write_metrics(OPENMETRICS).decode()
    assert TRACE not in write_metrics(TEXT).decode()
    child = os.fork()
    if child == 0:
        os._exit(int(TRACE in write_metrics(OPENMETRICS).decode()))
    assert os.waitpid(child, 0)[1] == 0
    store.attach(take_slot(tmp_path, "web"))
    store.release()
    assert TRACE not in write_metrics(OPENMETRICS).decode()


def test_a_full_disk_costs_the_exemplars_and_not_the_metrics(
    directory: Path,
    histogram: Histogram,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    child = histogram.labels("/a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("observability.telemetry.metrics.slots.allocate", full)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            child.observe(0.25, {"trace_id": TRACE})
    assert child._sum.get() == 0.75
    assert shown() == {}
    assert [(line["event"], line["reason"]) for line in events_of(caplog.records)] == [
        ("exemplars_lost", "[Errno 28] No space left on device")
    ]


def test_a_full_file_keeps_the_buckets_that_it_has_and_says_so_once(
    directory: Path, histogram: Histogram, caplog: pytest.LogCaptureFixture
) -> None:
    room = MAXIMUM_BYTES // RECORD.size
    with caplog.at_level(logging.ERROR):
        for number in range(room + 2):
            histogram.labels(f"/{number}").observe(0.05, {"trace_id": OTHER_TRACE})
    assert names_of(caplog.records) == ["exemplars_lost"]
    histogram.labels("/0").observe(0.05, {"trace_id": TRACE})
    found = read_exemplars(directory)
    assert len(found) == room
    assert [one.labels["trace_id"] for one in found.values()].count(TRACE) == 1
    assert (directory / "exemplars_web-0.bin").stat().st_size == MAXIMUM_BYTES


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 100, b"\x07" * (INITIAL_BYTES + 77), bytes(INITIAL_BYTES)]
)
def test_whatever_a_file_holds_is_free_space_to_the_next_holder(
    directory: Path, histogram: Histogram, content: bytes
) -> None:
    (directory / "exemplars_web-0.bin").write_bytes(content)
    assert read_exemplars(directory) == {}
    for number in range(600):  # more than the first size has room for
        histogram.labels(f"/{number}").observe(0.05, {"trace_id": TRACE})
    assert len(read_exemplars(directory)) == 600


def test_something_that_is_no_file_costs_only_the_exemplars(directory: Path, histogram: Histogram) -> None:
    (directory / "exemplars_web-0.bin").mkdir()
    histogram.labels("/a").observe(0.25, {"trace_id": TRACE})
    assert histogram.labels("/a")._sum.get() == 0.25
    assert shown() == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(at=some.integers(0, RECORD.size - 1), bits=some.integers(1, 255))
def test_a_record_with_a_wrong_byte_is_left_out(
    directory: Path, histogram: Histogram, at: int, bits: int
) -> None:
    path = directory / "exemplars_web-0.bin"
    if not path.exists():
        histogram.labels("/a").observe(0.25, {"trace_id": TRACE, "request_id": REQUEST})
        histogram.labels("/b").observe(0.25, {"trace_id": OTHER_TRACE})
    content = bytearray(path.read_bytes())
    begins = {one.labels["trace_id"]: begin for begin, _, one in exemplars.unpack_all(bytes(content))}
    content[begins[TRACE] + at] ^= bits
    found = {one.labels["trace_id"] for _, _, one in exemplars.unpack_all(bytes(content))}
    padding = range(RECORD.size - 8, RECORD.size - 4)
    assert found == ({OTHER_TRACE} if at not in padding else {TRACE, OTHER_TRACE})


def test_readers_see_no_mixture_while_threads_write(directory: Path, histogram: Histogram) -> None:
    child = histogram.labels("/a")
    pairs = {TRACE: "a" * 64, OTHER_TRACE: "b" * 8}
    stopped = threading.Event()

    def write(trace: str) -> None:
        while not stopped.is_set():
            child.observe(0.05, {"trace_id": trace, "request_id": pairs[trace]})

    threads = [threading.Thread(target=write, args=[trace]) for trace in pairs]
    for thread in threads:
        thread.start()
    path = directory / "exemplars_web-0.bin"
    seen = 0
    while seen < 300:
        for _, _, exemplar in exemplars.unpack_all(path.read_bytes()) if path.exists() else ():
            trace = exemplar.labels["trace_id"]
            assert exemplar.labels == {"trace_id": trace, "request_id": pairs[trace]}
            seen += 1
    stopped.set()
    for thread in threads:
        thread.join()


def test_an_exemplar_is_found_again_whatever_the_labels_say(directory: Path, histogram: Histogram) -> None:
    route = 'odd "route"\n\\'
    histogram.labels(route).observe(0.05, {"trace_id": TRACE})
    assert labels_shown() == {(route, "0.1"): {"trace_id": TRACE}}


def test_the_order_of_labels_does_not_change_the_series() -> None:
    digest = exemplars.series_digest("a_total", (("x", "1"), ("y", "2")))
    assert digest == exemplars.series_digest("a_total", (("y", "2"), ("x", "1")))
    assert digest != exemplars.series_digest("a_total", (("x", "2"), ("y", "1")))
    assert digest != exemplars.series_digest("b_total", (("x", "1"), ("y", "2")))
