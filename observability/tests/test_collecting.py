"""What a scrape makes of the files of all slots, by prometheus_client's own collector."""

import logging
from pathlib import Path

import pytest
from prometheus_client import Gauge

from observability.metrics import beat_heartbeat, children
from observability.telemetry.metrics.collecting import read_families
from observability.tests.log_events import events_of
from observability.tests.metric_files import histogram_entries, key, write_file

REQUESTS = key("requests", "requests_total", zone="a")
BUSY = key("busy", "busy")


def values_of(directory: Path, *live: str) -> tuple[dict[tuple[str, ...], float], int]:
    """Value by name and label values, without Amani's snapshot gauges; and how many files are damaged."""
    families, unreadable = read_families(directory, live)
    found = {
        (one.name, *one.labels.values()): one.value
        for family in families
        for one in family.samples
        if not family.name.startswith("amani_")
    }
    return found, unreadable


def test_counters_and_histograms_of_all_slots_are_added_up(tmp_path: Path) -> None:
    for number, slot in enumerate(("web-0", "web-1", "worker-main-0")):
        write_file(tmp_path / f"counter_{slot}.db", {REQUESTS: 2.0 + number})
        write_file(tmp_path / f"histogram_{slot}.db", histogram_entries("seconds", [1, 2] + [0] * 11, 0.5))
    found, unreadable = values_of(tmp_path)
    assert found["requests_total", "a"] == 9
    assert (found["seconds_bucket", "0.005"], found["seconds_bucket", "0.01"]) == (3, 9)
    assert (found["seconds_count",], found["seconds_sum",]) == (9, 1.5)
    assert unreadable == 0


def test_a_histogram_that_a_process_is_adding_now_is_left_out(tmp_path: Path) -> None:
    whole = histogram_entries("seconds", [1] * 13, 0.5, area="a")
    for length in range(1, 14):
        started = dict(list(histogram_entries("seconds", [0] * 13, 0.0, area="b").items())[:length])
        write_file(tmp_path / "histogram_web-0.db", {**whole, **started})
        found, _ = values_of(tmp_path)
        assert {labels[0] for _, *labels in found} == {"a"}
        assert len(found) == 15
    write_file(tmp_path / "histogram_web-0.db", histogram_entries("seconds", [0] * 13, 0.0, area="b"))
    assert len(values_of(tmp_path)[0]) == 15


def test_a_live_gauge_counts_only_of_slots_that_are_held(tmp_path: Path) -> None:
    for slot in ("web-0", "worker-main-0", "worker-1"):
        write_file(tmp_path / f"gauge_livesum_{slot}.db", {BUSY: 1.0})
    assert values_of(tmp_path, "web-0", "worker-main-0")[0] == {("busy",): 2}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00\x00\x00" + b"\x07" * 300,  # an entry ends after the end
        b"\x20\x00\x00\x00" + bytes(300),  # an entry of zeros
        b"\x28\x00\x00\x00\x00\x00\x00\x00\x0b\x00\x00\x00{not JSON!}     " + bytes(300),
        b"\x28\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00[17]        " + bytes(300),
    ],
)
def test_a_damaged_file_is_left_out_and_the_others_are_not(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    write_file(tmp_path / "counter_web-0.db", {REQUESTS: 2.0})
    (tmp_path / "counter_web-1.db").write_bytes(content)
    write_file(tmp_path / "counter_web-2.db", {REQUESTS: 3.0})
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert values_of(tmp_path) == ({("requests_total", "a"): 5}, 1)
    (line,) = events_of(caplog.records)  # not at every scrape
    assert (line["event"], line["file"]) == ("metric_file_unreadable", "counter_web-1.db")


def test_a_snapshot_gauge_that_no_process_has_set_is_shown_as_zero(tmp_path: Path) -> None:
    def heartbeats() -> list[float]:
        families, _ = read_families(tmp_path, ())
        return [one.value for family in families for one in family.samples if one.name == name]

    name = "amani_beat_heartbeat_timestamp_seconds"
    assert beat_heartbeat._name == name
    assert heartbeats() == [0.0]
    write_file(tmp_path / "gauge_mostrecent_beat-0.db", {key(name, name): 7.0}, timestamp=1.0)
    assert heartbeats() == [7.0]


def test_each_child_of_a_snapshot_gauge_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gauge = Gauge("waiting", "Waiting.", ["channel"], registry=None, multiprocess_mode="mostrecent")
    monkeypatch.setattr("observability.telemetry.metrics.collecting.snapshot_gauges", [gauge])
    children(gauge, ("slack", "pagerduty"))
    waiting = key("waiting", "waiting", channel="slack")
    write_file(tmp_path / "gauge_mostrecent_worker-0.db", {waiting: 4.0}, timestamp=1.0)
    assert values_of(tmp_path)[0] == {("waiting", "slack"): 4, ("waiting", "pagerduty"): 0}
