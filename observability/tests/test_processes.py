"""What a process does for its metrics when it starts."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from observability.telemetry import processes
from observability.telemetry.clock import ProcessClock, clock
from observability.telemetry.metrics.slots import live_slots
from observability.telemetry.metrics.storage import store
from observability.telemetry.processes import take_metrics_slot
from observability.tests.log_events import names_of
from observability.tests.samples import Change
from observability.tests.waiting import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def afterwards() -> Iterator[None]:
    counter = clock.counter
    yield
    store.release()
    clock.counter = counter


def test_a_process_takes_a_slot_of_its_kind(tmp_path: Path, settings: Any) -> None:
    settings.PROMETHEUS_MULTIPROC_DIR = str(tmp_path / "metrics")
    take_metrics_slot("command")
    assert list(live_slots(tmp_path / "metrics")) == ["command-0"]


def test_a_process_may_change_its_kind(tmp_path: Path, settings: Any) -> None:
    settings.PROMETHEUS_MULTIPROC_DIR = str(tmp_path)
    take_metrics_slot("command")
    take_metrics_slot("worker-main")
    assert list(live_slots(tmp_path)) == ["worker-main-0"]


def test_without_a_folder_there_is_no_slot(settings: Any) -> None:
    settings.PROMETHEUS_MULTIPROC_DIR = ""
    take_metrics_slot("web")
    assert store.slot is None


def test_an_unusable_folder_costs_the_metrics_and_not_the_process(
    tmp_path: Path, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    settings.PROMETHEUS_MULTIPROC_DIR = str(tmp_path / "file" / "metrics")
    take_metrics_slot("web")
    assert store.slot is None
    assert names_of(caplog.records) == ["metrics_not_exported"]


def test_an_unusable_file_costs_the_metrics_and_not_the_process(tmp_path: Path, settings: Any) -> None:
    settings.PROMETHEUS_MULTIPROC_DIR = str(tmp_path)
    (tmp_path / "histogram_web-0.db").mkdir()
    take_metrics_slot("web")
    assert store.slot is None
    assert live_slots(tmp_path) == {}


def test_processor_time_is_added_to_the_role_and_never_twice() -> None:
    spent = Change("amani_process_cpu_seconds_total", role="web")
    own = ProcessClock()
    started = time.process_time()
    own.count()
    own.count()
    assert started <= spent() <= time.process_time()


def test_two_threads_that_count_at_once_count_each_time_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second thread comes between the first one's reading and its counting, if it can."""
    readings = iter([1.0, 2.0])
    has_read, second_is_done = threading.Event(), threading.Event()

    def read() -> float:
        reading = next(readings)
        if reading == 1.0:
            has_read.set()
            second_is_done.wait(0.5)  # with a lock it cannot come
        return reading

    monkeypatch.setattr(
        "observability.telemetry.clock.time",
        SimpleNamespace(perf_counter=time.perf_counter, process_time=read),
    )
    spent = Change("amani_process_cpu_seconds_total", role="web")
    own = ProcessClock()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(own.count)
        assert has_read.wait(PATIENCE_SECONDS)
        second = threads.submit(own.count)
        second.add_done_callback(lambda _: second_is_done.set())
        first.result(), second.result()
    assert spent() == pytest.approx(2.0)  # the sum of all before it is not exact


def test_processor_time_is_counted_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    stand_in = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0] / 10)
    monkeypatch.setattr("observability.telemetry.clock.time", stand_in)
    own = ProcessClock()
    own.count()
    now[0] += 1.0
    own.count_if_due()
    assert own.counted == 100.0
    now[0] += 0.5
    own.count_if_due()
    assert own.counted == 100.15


def test_an_end_gives_sentry_and_the_collector_the_same_0_8_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both at the same time: the spans have begun to leave when Sentry's turn comes."""
    now, steps = [1000.0], list[tuple[str, float]]()

    def stop_sentry(timeout: float) -> None:
        steps.append(("sentry", timeout))
        now[0] += 0.5

    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr("observability.tracing.begin_to_stop", lambda: steps.append(("spans leave", 0.0)))
    monkeypatch.setattr("observability.sentry.stop", stop_sentry)
    monkeypatch.setattr(
        "observability.tracing.stop", lambda timeout: steps.append(("spans", round(timeout, 3)))
    )
    processes.stop()
    assert steps == [("spans leave", 0.0), ("sentry", 0.8), ("spans", 0.3)]


def test_a_command_has_no_role_of_its_own_in_the_sum(tmp_path: Path, settings: Any) -> None:
    settings.PROMETHEUS_MULTIPROC_DIR = str(tmp_path)
    spent = Change("amani_process_cpu_seconds_total", role="web")
    take_metrics_slot("command")
    clock.count()
    assert clock.counter is None
    assert spent() == 0


def test_unhandled_exception_of_a_command_prints_its_traceback_without_secrets() -> None:
    script = (
        "import os; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'amani.settings');"
        "from observability.telemetry import processes; processes.start('command');"
        "raise ValueError('card 4111 1111 1111 1111')"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith("ValueError: card [redacted]\n")
    assert "4111" not in ended.stderr
