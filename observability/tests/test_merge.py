"""The own merge of metric files says what prometheus_client's says, and does far less for it."""

import cProfile
import logging
import pstats
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import prometheus_client.samples
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from prometheus_client.metrics_core import Metric

from observability.telemetry.metrics.exemplars import Exemplar, as_text
from observability.telemetry.metrics.formats import OPENMETRICS, TEXT, Format, choose_format, write_families
from observability.telemetry.metrics.merge import Family, Merger
from observability.telemetry.metrics.values import Gauge
from observability.tests.metric_files import (
    BOUNDS,
    Entries,
    Upstream,
    histogram_entries,
    key,
    write_file,
    write_processes,
)

# Every slot of one folder is written anew for each example.
PROPERTY = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

LABELS = some.sampled_from(["/a", "", 'a "quoted" one', "back\\slash", "two\nlines", "{}=,", "ключ", "🌍"])
NUMBERS = some.floats() | some.integers(0, 10**20).map(float)


def one_metric(name: str, series: str) -> some.SearchStrategy[Entries]:
    return some.dictionaries(LABELS | some.text(), NUMBERS, max_size=4).map(
        lambda found: {key(name, series, zone="z", area=label): value for label, value in found.items()}
    )


@some.composite
def histograms(draw: some.DrawFn) -> Entries:
    """Also such whose file a process was still appending to: the last buckets are missing."""
    entries: dict[str, float] = {}
    for label in draw(some.sets(LABELS, max_size=3)):
        counts = draw(some.lists(NUMBERS, max_size=len(BOUNDS)))
        entries |= histogram_entries("seconds", counts, draw(NUMBERS), area=label, zone="z")
    return entries


KINDS = {
    "counter": one_metric("requests", "requests_total"),
    "gauge_livesum": one_metric("busy", "busy"),
    "gauge_max": one_metric("largest", "largest"),
    "histogram": histograms(),
}
FOLDERS = some.dictionaries(
    some.tuples(some.sampled_from(sorted(KINDS)), some.sampled_from(["web-0", "web-1", "worker-main-0"])),
    some.none(),
    max_size=8,
).flatmap(lambda found: some.fixed_dictionaries({name: KINDS[name[0]] for name in found}))


def write_folder(folder: Path, files: dict[tuple[str, str], Entries]) -> list[Path]:
    for path in folder.iterdir():
        path.unlink()
    return sorted(
        write_file(folder / f"{kind}_{slot}.db", entries) for (kind, slot), entries in files.items()
    )


def written(merger: Merger, paths: list[Path], form: Format) -> str:
    end = "# EOF\n" if form is OPENMETRICS else ""
    return write_families(merger.merge(paths).families, form, {}) + end


@pytest.mark.parametrize("form", [TEXT, OPENMETRICS], ids=["text", "openmetrics"])
@PROPERTY
@given(files=FOLDERS)
def test_what_is_written_is_what_upstream_writes_of_the_same_files(
    tmp_path: Path, form: Format, files: dict[tuple[str, str], Entries]
) -> None:
    paths = write_folder(tmp_path, files)
    merger = Merger()
    expected = form.encode(Upstream(paths)).decode()
    assert written(merger, paths, form) == expected
    assert written(merger, paths, form) == expected, "the second scrape, from what it remembers"


EXEMPLARS = some.builds(
    Exemplar,
    digest=some.just(b""),
    value=NUMBERS,
    timestamp=some.integers(0, 10**10).map(lambda second: second + 0.125),  # upstream cuts zeros off
    trace_id=some.binary(min_size=16, max_size=16),
    request_id=some.sampled_from([b"", b"request-0001"]),
)


@PROPERTY
@given(files=FOLDERS, exemplars=some.lists(some.none() | EXEMPLARS, min_size=1, max_size=5))
def test_exemplars_are_written_as_upstream_writes_them(
    tmp_path: Path,
    files: dict[tuple[str, str], Entries],
    exemplars: list[Exemplar | None],
) -> None:
    """Every counter and bucket gets one of `exemplars`, in turn."""
    paths = write_folder(tmp_path, files)
    merged = Merger().merge(paths)
    given_to = dict(zip(digests_of(merged.families), cycle(exemplars), strict=False))
    texts = {digest: as_text(one) for digest, one in given_to.items() if one}
    ours = write_families(merged.families, OPENMETRICS, texts) + "# EOF\n"
    assert ours == OPENMETRICS.encode(WithExemplars(paths, list(given_to.values()))).decode()


def digests_of(families: Iterable[Family]) -> Iterator[bytes]:
    """In the order in which upstream gives the samples."""
    for family in families:
        yield from family.digests.values() if family.type == "counter" else ()
        for child in family.children.values():
            yield from (child.series[bound].digest for bound in sorted(child.series))


class WithExemplars(Upstream):
    """`exemplars` are for the counters and buckets, one after the other."""

    def __init__(self, paths: Iterable[Path], exemplars: list[Exemplar | None]) -> None:
        super().__init__(paths)
        self.exemplars = exemplars

    def collect(self) -> Iterator[Metric]:
        left = iter(self.exemplars)
        for metric in super().collect():
            metric.samples = [
                sample._replace(exemplar=upstreams(next(left)))
                if sample.name.endswith(("_total", "_bucket"))
                else sample
                for sample in metric.samples
            ]
            yield metric


def upstreams(one: Exemplar | None) -> prometheus_client.samples.Exemplar | None:
    return prometheus_client.samples.Exemplar(one.labels, one.value, one.timestamp) if one else None


@PROPERTY
@given(files=FOLDERS, data=some.data())
def test_a_damaged_file_is_left_out_whole_and_the_others_are_not(
    tmp_path: Path, files: dict[tuple[str, str], Entries], data: some.DataObject
) -> None:
    paths = write_folder(tmp_path, files | {("histogram", "beat-0"): {"a key": 1.0, "another": 2.0}})
    victim = tmp_path / "histogram_beat-0.db"
    content = bytearray(victim.read_bytes())
    for _ in range(data.draw(some.integers(0, 3))):
        content[data.draw(some.integers(0, len(content) - 1))] = data.draw(some.integers(0, 255))
    victim.write_bytes(content[: data.draw(some.integers(0, len(content)))])
    merged = Merger().merge(paths)
    rest = [path for path in paths if path != victim]
    used = struct.unpack_from("=i", content)[0] if victim.stat().st_size >= 4 else -1
    assert merged.unreadable == (0 if used in (0, 8) and victim.stat().st_size >= 8 else 1)
    assert write_families(merged.families, TEXT, {}) == TEXT.encode(Upstream(rest)).decode()


HARMLESS = key("m", "m_total")


@pytest.mark.parametrize(
    "damaged",
    [
        "[" * 100_000,
        '["m", "m_total", {}]',
        '["m", "m_total", [], "help"]',
        '["m", "m_total", {"a": 1}, "help"]',
        '["m", "m_total", {"a": ["b"]}, "help"]',
        '["m", "m_total", {"a\\n": "b"}, "help"]',
        '["m 1\\nforged_total", "m_total", {}, "help"]',
        '["m", "m 1\\nforged_total", {}, "help"]',
        '["m", "m_total", {}, "help"] ',
        '["m", "m_total", {"le": "wide"}, "help"]',
        '["m", "m_total", {"le": null}, "help"]',
    ],
)
def test_a_key_that_no_metric_of_ours_has_makes_its_file_unreadable(tmp_path: Path, damaged: str) -> None:
    good = write_file(tmp_path / "histogram_web-0.db", {HARMLESS: 1})
    bad = write_file(tmp_path / "histogram_web-1.db", {HARMLESS: 1, damaged: 1})
    merged = Merger().merge([good, bad])
    assert merged.unreadable == 1
    assert write_families(merged.families, TEXT, {}).endswith("\nm_total 1.0\n")


def test_the_gauges_of_a_process_that_ends_during_the_scrape_are_not_damage(tmp_path: Path) -> None:
    merged = Merger().merge([tmp_path / "gauge_livesum_web-0.db", tmp_path / "counter_web-0.db"])
    assert (list(merged.families), merged.unreadable) == ([], 1)


@pytest.mark.parametrize("mode", ["all", "liveall", "min", "mostrecent", "median"])
def test_a_gauge_that_no_rule_merges_is_refused_where_it_is_made_and_where_it_is_read(
    tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_file(tmp_path / f"gauge_{mode}_web-0.db", {key("m", "m"): 1})
    merger = Merger()
    with caplog.at_level(logging.ERROR):
        assert [merger.merge([path]).unreadable for _ in range(3)] == [1, 1, 1]
    assert [record.message for record in caplog.records] == ["metric_file_unreadable"]
    assert caplog.records[0].__dict__["reason"] == f"there is no rule for merging gauge_{mode}"
    if mode != "median":
        with pytest.raises(ValueError, match=f"multiprocess_mode='{mode}'"):
            Gauge("odd_gauge", "Odd.", registry=None, multiprocess_mode=mode)  # type: ignore[arg-type]


def test_what_is_remembered_is_what_the_files_still_say(tmp_path: Path) -> None:
    first = write_file(
        tmp_path / "counter_web-0.db", {key("m", "m_total", a=str(one)): 1 for one in range(9)}
    )
    merger = Merger()
    merger.merge([first])
    assert len(merger.known["counter"]) == 9
    merger.merge([write_file(first, {HARMLESS: 1})])
    assert list(merger.known["counter"]) == [HARMLESS.encode()]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns every microsecond."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_scrapes_at_the_same_time_do_not_forget_for_each_other(tmp_path: Path, hasty_threads: None) -> None:
    folders = [tmp_path / name for name in "ab"]
    entries = {
        folder: {key("m", f"{folder.name}{number}"): 1.0 for number in range(20)} for folder in folders
    }
    for folder in folders:
        folder.mkdir()
        write_file(folder / "counter_web-0.db", entries[folder])
    merger = Merger()

    def scrape(folder: Path) -> set[str]:
        return {written(merger, [folder / "counter_web-0.db"], TEXT) for _ in range(2000)}

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(scrape, folders))
    assert [len(answer) for answer in answers] == [1, 1]


def test_a_series_whose_help_has_changed_is_still_one(tmp_path: Path) -> None:
    paths = []
    for kind in ("counter", "gauge_max", "histogram"):
        for number, value in enumerate((5.0, 3.0)):
            changed = {key(kind, kind, documentation=f"Help {number}."): value}
            paths.append(write_file(tmp_path / f"{kind}_web-{number}.db", changed))
    assert written(Merger(), paths, TEXT) == TEXT.encode(Upstream(paths)).decode()


# --- What it costs ---


def calls(work: Callable[[], object]) -> int:
    profile = cProfile.Profile()
    profile.runcall(work)
    total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return total


def test_a_scrape_of_32_dead_processes_makes_a_fifth_of_upstreams_calls_the_first_time_too(
    tmp_path: Path,
) -> None:
    """Upstream's calls grow with processes times series, ours with their sum: 32 x 5,000 is more apart."""
    paths = write_processes(tmp_path, processes=32, samples=1000)
    merger = Merger()

    def scrape() -> str:
        return write_families(merger.merge(paths).families, TEXT, {})

    assert scrape() == TEXT.encode(Upstream(paths)).decode()
    merger.known.clear()
    upstream = calls(Upstream(paths).collect)
    first, warm = calls(scrape), calls(scrape)
    print(f"upstream merges with {upstream} calls; ours, text included: {first} first, {warm} then")  # noqa: T201
    assert first <= upstream / 5
    assert warm <= upstream / 5


@pytest.mark.parametrize("samples", [100, 2000])
def test_another_process_costs_some_forty_calls_however_much_it_counts(tmp_path: Path, samples: int) -> None:
    paths = write_processes(tmp_path, processes=9, samples=samples)
    eight = [path for path in paths if not path.stem.endswith("-8")]
    merger = Merger()
    merger.merge(paths)
    assert calls(lambda: merger.merge(paths)) - calls(lambda: merger.merge(eight)) <= 50


# --- Which format ---

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text ; Version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4", TEXT),
        ("text/plain;version=1.0.0,application/openmetrics-text;version=1.0.0", TEXT),
        ("application/openmetrics-text;version=nonsense", OPENMETRICS),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
    ],
)
def test_the_format_is_the_first_accepted_one_that_we_know(accept: str, form: Format) -> None:
    assert choose_format(accept) is form
