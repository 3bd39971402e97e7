"""Slots and the metric files behind them, with real forks and kills."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge
from prometheus_client.multiprocess import MultiProcessCollector

from observability.metrics import spans_ended
from observability.telemetry.metrics.slots import (
    INITIAL_BYTES,
    counter_file,
    is_damaged,
    live_slots,
    take_slot,
)
from observability.telemetry.metrics.storage import store
from observability.tests.samples import sample

HOLD = """
import sys, time
from pathlib import Path
from observability.telemetry.metrics.slots import take_slot
slot = take_slot(Path(sys.argv[1]), sys.argv[2])
print(slot.name, flush=True)
time.sleep(60)
"""


def hold(directory: Path, kind: str) -> tuple[subprocess.Popen[str], str]:
    """Another process that holds a slot of `kind`, and the slot's name."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory), kind], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture
def attached(tmp_path: Path) -> Iterator[Path]:
    """This process holds `web-0` of the folder while the test runs."""
    store.attach(take_slot(tmp_path, "web"))
    yield tmp_path
    store.release()


def merged(directory: Path, name: str) -> dict[tuple[str, ...], float]:
    """What upstream's collector makes of the files, for one series name: value by label values."""
    metrics = MultiProcessCollector.merge([str(path) for path in directory.glob("*.db")])  # type: ignore[no-untyped-call]
    return {
        tuple(value for label, value in sorted(one.labels.items()) if label != "pid"): one.value
        for metric in metrics
        for one in metric.samples
        if one.name == name
    }


def test_each_process_takes_the_lowest_free_slot_of_its_kind(tmp_path: Path) -> None:
    processes = [hold(tmp_path, kind) for kind in ("web", "web", "worker-main", "worker")]
    try:
        assert [name for _, name in processes] == ["web-0", "web-1", "worker-main-0", "worker-0"]
        assert live_slots(tmp_path) == {name: process.pid for process, name in processes}
    finally:
        for process, _ in processes:
            kill(process)
    assert live_slots(tmp_path) == {}


def test_the_slot_of_a_killed_process_is_taken_again_without_its_live_gauges(tmp_path: Path) -> None:
    first, _ = hold(tmp_path, "web")
    second, _ = hold(tmp_path, "web")
    ghost = tmp_path / "gauge_livesum_web-0.db"
    ghost.write_bytes(b"x")
    others = tmp_path / "gauge_livesum_web-1.db"
    others.write_bytes(b"x")
    kill(first)
    third, name = hold(tmp_path, "web")
    assert name == "web-0"
    assert not ghost.exists()
    assert others.exists()
    kill(second)
    kill(third)


def test_a_forked_child_neither_keeps_nor_counts_in_its_parents_slot(attached: Path) -> None:
    counter = Counter("fork_total", "Counts.", registry=None)
    counter.inc(5)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        counter.inc(100)
        os.write(writer, b"%d %d" % (counter._value.get(), store.slot is None))
        time.sleep(60)  # until it is killed
        os._exit(1)
    assert os.read(reader, 20) == b"100 1"
    assert merged(attached, "fork_total") == {(): 5}
    store.release()
    assert live_slots(attached) == {}, "the child still holds the lock"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)


def test_a_new_holder_counts_on_from_what_the_files_say(tmp_path: Path) -> None:
    counter = Counter("recycled_total", "Counts.", registry=None)
    for _ in range(3):
        store.attach(take_slot(tmp_path, "web"))
        counter.inc(2)
        store.release()
    assert merged(tmp_path, "recycled_total") == {(): 6}
    assert len(list(tmp_path.glob("counter_*.db"))) == 1


def test_what_was_counted_before_the_slot_is_carried_into_it(tmp_path: Path) -> None:
    counter = Counter("early_total", "Counts.", registry=None)
    counter.inc(3)
    store.attach(take_slot(tmp_path, "web"))
    assert merged(tmp_path, "early_total") == {(): 3}
    store.release()


def test_a_snapshot_gauge_shows_the_most_recent_setting_of_any_process(attached: Path) -> None:
    gauge = Gauge("shared", "Set by all.", registry=None, multiprocess_mode="mostrecent")
    gauge.set(9)
    child = os.fork()
    if child == 0:
        store.attach(take_slot(attached, "web"))
        gauge.set(4)
        os._exit(0)
    os.waitpid(child, 0)
    assert merged(attached, "shared") == {(): 4}
    gauge.set(9)
    assert merged(attached, "shared") == {(): 9}


def test_the_next_holder_of_a_slot_changes_no_snapshot_gauge(tmp_path: Path) -> None:
    gauge = Gauge("kept", "Set once.", registry=None, multiprocess_mode="mostrecent")
    gauge.set(3)  # without a slot, so in no file
    store.attach(take_slot(tmp_path, "web"))
    assert merged(tmp_path, "kept") == {}
    gauge.set(9)
    store.release()
    store.attach(take_slot(tmp_path, "web"))
    assert merged(tmp_path, "kept") == {(): 9}
    store.release()


def test_a_file_grows_and_keeps_every_value(attached: Path) -> None:
    counter = Counter("grown_total", "Counts.", ["name"], registry=None)
    for number in range(1500):
        counter.labels(f"{number:0160d}").inc(number)
    assert counter_file(attached, "web-0").stat().st_size > INITIAL_BYTES
    counter.labels(f"{1:0160d}").inc()
    values = merged(attached, "grown_total")
    assert len(values) == 1500
    assert values[f"{1:0160d}",] == 2
    assert values[f"{1499:0160d}",] == 1499


def test_threads_lose_no_count(attached: Path) -> None:
    counter = Counter("threads_total", "Counts.", registry=None)

    def count() -> None:
        for _ in range(5000):
            counter.inc()

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert merged(attached, "threads_total") == {(): 40_000}


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\x00\x00\x00" + b"\x07" * 300,  # an entry ends after the end
        b"\xff\xff\xff\xff" + bytes(300),  # a negative number of used bytes
        b"\x20\x00\x00\x00" + bytes(300),  # an entry of zeros
        b"\x03",
    ],
)
@pytest.mark.parametrize("kind", ["counter", "histogram"])
def test_a_damaged_file_of_a_former_holder_starts_again(tmp_path: Path, kind: str, content: bytes) -> None:
    counter = Counter("damaged_total", "Counts.", registry=None)
    path = tmp_path / f"{kind}_web-0.db"
    path.write_bytes(content)
    assert is_damaged(path)
    store.attach(take_slot(tmp_path, "web"))
    counter.inc()
    assert not is_damaged(path)
    assert merged(tmp_path, "damaged_total") == {(): 1}
    assert live_slots(tmp_path) == {"web-0": os.getpid()}
    store.release()


def test_a_full_disk_is_an_error_when_the_slot_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("observability.telemetry.metrics.slots.allocate", full)
    with pytest.raises(OSError, match="No space left"):
        take_slot(tmp_path, "web")
    assert live_slots(tmp_path) == {}


def test_files_have_their_blocks_before_they_are_written(attached: Path) -> None:
    for path in attached.glob("*.db"):
        assert path.stat().st_blocks * 512 >= INITIAL_BYTES


def test_without_a_slot_the_values_are_this_processs_own() -> None:
    assert store.slot is None
    before = sample("amani_tracing_spans_ended_total")
    spans_ended.inc()
    assert sample("amani_tracing_spans_ended_total") == before + 1
