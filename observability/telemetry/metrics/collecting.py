"""The sum of the metric files of all slots, by prometheus_client's own collector."""

import struct
from collections.abc import Container, Iterable
from pathlib import Path

import structlog
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.samples import Sample

from observability.telemetry.metrics.declare import snapshot_gauges

log = structlog.get_logger(__name__)

# What upstream raises for a damaged file: reading it, unpacking it, parsing JSON, using what was parsed.
DAMAGE = (OSError, ValueError, TypeError, AttributeError, RuntimeError, struct.error)

reported: set[str] = set()


def read_families(directory: Path, live: Container[str]) -> tuple[list[Metric], int]:
    """The metrics of all files, and how many files were left out as damaged.

    `live`: the slots that are held now; the live gauges of all others are left out.
    """
    paths = [str(path) for path in sorted(directory.glob("*.db")) if is_current(path, live)]
    try:
        families, unreadable = merge(paths), 0
    except DAMAGE:
        readable = [path for path in paths if is_readable(path)]
        families, unreadable = merge(readable), len(paths) - len(readable)
    leave_out_unfinished(families)
    show_unset_gauges(families)
    return families, unreadable


def is_current(path: Path, live: Container[str]) -> bool:
    return not path.name.startswith("gauge_live") or path.stem.rpartition("_")[2] in live


def merge(paths: Iterable[str]) -> list[Metric]:
    return list(MultiProcessCollector.merge(paths))  # type: ignore[no-untyped-call]  # upstream has no annotation


def is_readable(path: str) -> bool:
    """Whether upstream can read the file. If not, the log says so once, not at every scrape."""
    try:
        merge([path])
    except DAMAGE as error:
        if path not in reported:
            reported.add(path)
            log.error("metric_file_unreadable", file=Path(path).name, reason=str(error))  # noqa: TRY400
        return False
    return True


def leave_out_unfinished(families: Iterable[Metric]) -> None:
    """Removes histograms that a process is adding to its file now: the sum is written first, `+Inf` last."""
    for family in families:
        if family.type == "histogram":
            finished = {series_of(one) for one in family.samples if one.labels.get("le") == "+Inf"}
            if len(finished) < sum(one.name.endswith("_sum") for one in family.samples):
                family.samples = [one for one in family.samples if series_of(one) in finished]


def series_of(sample: Sample) -> frozenset[tuple[str, str]]:
    """The labels that the buckets, the sum and the count of one histogram share."""
    return frozenset((name, value) for name, value in sample.labels.items() if name != "le")


def show_unset_gauges(families: list[Metric]) -> None:
    """Adds snapshot gauges that no process has set, as 0; upstream leaves them out."""
    by_name = {family.name: family for family in families}
    for declared in (family for gauge in snapshot_gauges for family in gauge.collect()):
        if declared.name not in by_name:
            by_name[declared.name] = Metric(declared.name, declared.documentation, "gauge")
            families.append(by_name[declared.name])
        family = by_name[declared.name]
        shown = [sample.labels for sample in family.samples]
        for sample in declared.samples:
            if sample.labels not in shown:
                family.add_sample(sample.name, sample.labels, 0.0)
