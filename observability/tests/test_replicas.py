"""What the instances of several containers export adds up, and one of them has the newest snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from observability import metrics
from observability.telemetry.metrics.exposition import TEXT, write_metrics
from observability.telemetry.metrics.requests import http_requests_total
from observability.telemetry.metrics.slots import take_slot
from observability.telemetry.metrics.storage import store

Exposition = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def container(
    tmp_path: Path, settings: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Exposition]]:
    """`container("web", work)`: what a scrape shows of a process with a folder of its own that did `work`."""
    started: list[Path] = []

    def run(kind: str, work: Callable[[], None]) -> Exposition:
        folder = tmp_path / str(len(started))
        started.append(folder)
        for value in store.values:  # as in a new process
            value.set(0.0)
        store.attach(take_slot(folder, kind))
        work()
        monkeypatch.setattr("django.conf.settings.PROMETHEUS_MULTIPROC_DIR", str(folder))
        shown = {
            (one.name, tuple(sorted(one.labels.items()))): one.value
            for family in parse_text(write_metrics(TEXT).decode())
            for one in family.samples
        }
        store.release()
        return shown

    yield run
    store.release()


def test_counters_of_all_instances_add_up_and_none_counts_another_s(
    container: Callable[..., Exposition],
) -> None:
    labels = {"method": "GET", "endpoint": "/replica", "status": "200"}

    def answer(count: int) -> Callable[[], None]:
        return lambda: http_requests_total.labels(**labels).inc(count)

    shown = [container("web", answer(count)) for count in (3, 4, 5)]
    key = ("http_requests_total", tuple(sorted(labels.items())))
    assert [one[key] for one in shown] == [3, 4, 5]


def test_the_instance_with_the_newest_snapshot_has_the_newest_values(
    container: Callable[..., Exposition], monkeypatch: pytest.MonkeyPatch
) -> None:
    def snapshot(at: float, count: int) -> Callable[[], None]:
        def take() -> None:
            monkeypatch.setattr("observability.metrics.time.time", lambda: at)
            metrics.record_backlog("slack", count, 0.0)

        return take

    shown = [
        container("web", lambda: None),
        container("worker", snapshot(2000.0, 0)),
        container("worker", snapshot(1000.0, 7)),
    ]
    time, waiting = (
        ("amani_snapshot_timestamp_seconds", ()),
        ("amani_alert_undelivered", (("channel", "slack"),)),
    )
    assert [one[time] for one in shown] == [0, 2000, 1000]
    assert max(shown, key=lambda one: one[time])[waiting] == 0


def test_a_beat_that_waits_claims_no_heartbeat(container: Callable[..., Exposition]) -> None:
    sending, waiting = container("beat", metrics.record_beat_heartbeat), container("beat", lambda: None)
    heartbeat = ("amani_beat_heartbeat_timestamp_seconds", ())
    assert sending[heartbeat] > 0
    assert waiting[heartbeat] == 0
