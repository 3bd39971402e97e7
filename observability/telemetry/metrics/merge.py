"""The sum of all metric files, each read once.

It says what `prometheus_client.multiprocess.MultiProcessCollector` says of the same files, in the same
order. That one makes some fifteen Python calls for every series of every file; here there are none: values
are added by the raw bytes of their keys, and what a key means is looked up once, for the sum.
"""

import logging
import operator
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from observability.telemetry.metrics.series import Series, parse_key

logger = logging.getLogger(__name__)

HEADER_BYTES = 8
FIRST_READ_BYTES = 1 << 16
USED = struct.Struct("=i")
# What damage looks like: to the file system, to the header, to JSON and to those who read what it says.
UNREADABLE = (OSError, ValueError, TypeError, RecursionError)

Totals = dict[bytes, float]


class Child:
    """One histogram with its labels."""

    __slots__ = ("buckets", "series", "sums")

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}  # by line
        self.buckets: dict[float, float] = {}  # by bound, not yet accumulated
        self.series: dict[float, Series] = {}  # by bound


class Family:
    """All series of one metric: `values` by line, or for a histogram `children` by labels."""

    __slots__ = ("children", "digests", "documentation", "name", "type", "values")

    def __init__(self, name: str, metric_type: str, documentation: str) -> None:
        self.name = name
        self.type = metric_type
        self.documentation = documentation
        self.values: dict[str, float] = {}
        self.digests: dict[str, bytes] = {}  # of a counter, by line
        self.children: dict[str, Child] = {}


class Merged(NamedTuple):
    families: Iterable[Family]
    unreadable: int  # files left out as damaged


def add(totals: Totals, found: Totals) -> None:
    for key, value in found.items():
        totals[key] = totals[key] + value if key in totals else 0.0 + value  # upstream has no -0.0 either


def keep_greatest(totals: Totals, found: Totals) -> None:
    for key, value in found.items():
        if key not in totals or value > totals[key]:
            totals[key] = value


class Rule(NamedTuple):
    """How the files of a kind come together. `of_two` is for one series that has two keys (another help)."""

    of_files: Callable[[Totals, Totals], None]
    of_two: Callable[[float, float], float]


SUM = Rule(add, operator.add)
GREATEST = Rule(keep_greatest, max)
# By what a file's name says before the slot. Another mode of gauges needs its rule here.
RULES = {
    "counter": SUM,
    "histogram": SUM,
    "gauge_sum": SUM,
    "gauge_livesum": SUM,
    "gauge_max": GREATEST,
    "gauge_livemax": GREATEST,
}


class Merger:
    """Merges metric files, and remembers what the keys mean that the last scrape has seen."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.known: dict[str, dict[bytes, Series]] = {}
        self.reported: set[str] = set()

    def merge(self, paths: Iterable[Path]) -> Merged:
        """`paths` decide the order of the families; files with the same rule belong together."""
        with self.lock:
            return self.merge_alone(paths)

    def merge_alone(self, paths: Iterable[Path]) -> Merged:
        totals: dict[str, Totals] = {}
        unreadable = 0
        for path in paths:
            kind = path.name.rpartition("_")[0]
            try:
                found = self.read(path, kind)
            except FileNotFoundError:
                unreadable += not kind.startswith("gauge_live")  # those go with their process
            except UNREADABLE as error:
                unreadable += 1
                self.report(path, error)
            else:
                RULES[kind].of_files(totals.setdefault(kind, {}), found)
        return Merged(self.families(totals), unreadable)

    def read(self, path: Path, kind: str) -> Totals:
        if kind not in RULES:
            raise ValueError(f"there is no rule for merging {kind or path.name}")
        found = read_entries(read_used(path))
        known = self.known.setdefault(kind, {})
        for key in found:
            if key not in known:
                known[key] = parse_key(key, type_of(kind))
        return found

    def report(self, path: Path, error: Exception) -> None:
        """Once, not at every scrape."""
        if str(path) not in self.reported:
            self.reported.add(str(path))
            logger.error("metric_file_unreadable", extra={"file": path.name, "reason": str(error)})

    def families(self, totals: dict[str, Totals]) -> Iterable[Family]:
        families: dict[str, Family] = {}
        for kind, sums in totals.items():
            known = self.known[kind]
            if len(known) > len(sums):  # of former files
                known = self.known[kind] = {key: known[key] for key in sums}
            gather(families, kind, sums, known)
        return families.values()


def type_of(kind: str) -> str:
    return kind.partition("_")[0]


def gather(families: dict[str, Family], kind: str, sums: Totals, known: dict[bytes, Series]) -> None:
    """Puts each sum where its series belongs."""
    of_two = RULES[kind].of_two
    for key, value in sums.items():
        series = known[key]
        if series.metric not in families:
            families[series.metric] = Family(series.metric, type_of(kind), series.documentation)
        family = families[series.metric]
        if kind == "histogram":
            gather_histogram(family, series, value)
        elif series.line in family.values:
            family.values[series.line] = of_two(family.values[series.line], value)
        else:
            family.values[series.line] = value
            family.digests[series.line] = series.digest


def gather_histogram(family: Family, series: Series, value: float) -> None:
    if series.child not in family.children:
        family.children[series.child] = Child()
    child = family.children[series.child]
    if series.bound is None:
        child.sums[series.line] = child.sums.get(series.line, 0.0) + value
    else:
        child.buckets[series.bound] = child.buckets.get(series.bound, 0.0) + value
        child.series[series.bound] = series


def read_used(path: Path) -> bytes:
    """The used part of a metric file: its header says how much that is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = os.read(descriptor, FIRST_READ_BYTES)
        if len(data) < HEADER_BYTES:
            raise ValueError("no header")
        used: int = USED.unpack_from(data)[0]
        if used > len(data):
            data += os.read(descriptor, used - len(data))
    finally:
        os.close(descriptor)
    if used < 0 or used > len(data) or used % HEADER_BYTES:
        raise ValueError("the header is wrong")
    return data[: max(used, HEADER_BYTES)]


def read_entries(data: bytes) -> Totals:
    """The values of a metric file by their raw keys; `values.MetricFile` describes the format."""
    used = len(data)
    memory = memoryview(data)
    lengths, values = memory.cast("i"), memory.cast("d")
    found: Totals = {}
    at = HEADER_BYTES
    while at < used:
        end = at + 4 + lengths[at >> 2]
        value_at = (end | 7) + 1  # padded with one to eight spaces
        if end < at + 5 or value_at + 16 > used:
            raise ValueError("an entry ends after the end")
        key = data[at + 4 : end]
        value = values[value_at >> 3]
        found[key] = found[key] + value if key in found else value
        at = value_at + 16
    return found
