"""Metric types of prometheus_client whose values cost one memory write.

Upstream's `MultiProcessValue` checks the process id and packs a struct at every increment, and a histogram
walks its buckets. Here a value is a cell of a memory-mapped file (or of a private array, while the process
has no slot), and nothing is checked when it changes: `Store` moves all values when the process takes a slot
or forks. The files have upstream's format, so that upstream's collector reads them.
"""

import logging
import mmap
import os
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from fcntl import LOCK_EX
from threading import RLock
from typing import Literal

import prometheus_client
from prometheus_client.mmap_dict import mmap_key
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from observability.telemetry.metrics import exemplars, slots
from observability.telemetry.metrics.merge import RULES
from observability.telemetry.metrics.slots import Slot

logger = logging.getLogger(__name__)

HEADER_BYTES = 8
LENGTH = struct.Struct("=i")
# Gauges that any process may set for all (snapshots, heartbeats) share one file: the last writer is right.
# "max" of a single file is the value itself, while upstream's "mostrecent" hides a gauge that was never set.
SHARED_MODE: Literal["max"] = "max"
SHARED_PREFIX = f"gauge_{SHARED_MODE}"

# One lock: an update is a few bytecodes, so there is nothing to contend for. Re-entrant, because a finalizer
# (a database connection that is garbage collected) may change a gauge while this thread is changing another.
lock = RLock()

# `_created` series do not exist with several processes, so there are none with one.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Value:
    """A number that upstream's metric types can hold."""

    __slots__ = ("cells", "index", "key", "prefix")
    _multiprocess = False

    def __init__(self, prefix: str, key: str) -> None:
        self.prefix = prefix
        self.key = key
        self.cells: array[float] | memoryview[float] = array("d", [0.0])
        self.index = 0

    def inc(self, amount: float) -> None:
        with lock:
            self.cells[self.index] += amount

    def set(self, value: float) -> None:
        with lock:
            self.cells[self.index] = value

    def get(self) -> float:
        return self.cells[self.index]

    def get_exemplar(self) -> Exemplar | None:
        with lock:
            return store.exemplars.of(self.key)


class MetricFile:
    """A file of named doubles in the format of prometheus_client's MmapedDict, open for writing.

    Header: int32 bytes used, int32 (ours: process id). Entry: int32 key length, key padded with spaces so
    that the whole is aligned to 8, double value, double timestamp.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.placed: list[Value] = []
        self.open_memory()
        try:
            self.forget_keys()
            self.read_new_keys()
        except (ValueError, struct.error):  # half-written by a crash of the machine
            self.forget_keys()
            LENGTH.pack_into(self.memory, 0, HEADER_BYTES)

    def forget_keys(self) -> None:
        self.read_up_to = HEADER_BYTES
        self.positions: dict[bytes, int] = {}

    def open_memory(self) -> None:
        self.size = os.fstat(self.descriptor).st_size
        if self.size < slots.INITIAL_BYTES:
            slots.allocate(self.descriptor, self.size, slots.INITIAL_BYTES - self.size)
            self.size = slots.INITIAL_BYTES
        self.memory = mmap.mmap(self.descriptor, self.size)
        self.bytes = memoryview(self.memory)
        self.cells = self.bytes.cast("d")

    def close_memory(self) -> None:
        """mmap keeps a duplicate of the descriptor, and with it the slot's lock, until it is closed."""
        self.cells.release()
        self.bytes.release()
        self.memory.close()

    def close(self) -> None:
        self.close_memory()
        os.close(self.descriptor)

    def used(self) -> int:
        used: int = LENGTH.unpack_from(self.memory, 0)[0]
        return max(used, HEADER_BYTES)

    def read_new_keys(self) -> None:
        """Learns the keys that a former holder, or for the shared file another process, has added."""
        used = self.used()
        if used > self.size:
            self.grow_to(os.fstat(self.descriptor).st_size)
        if used > self.size:
            raise ValueError("more bytes used than there are")
        while self.read_up_to < used:
            length = LENGTH.unpack_from(self.memory, self.read_up_to)[0]
            start = self.read_up_to + LENGTH.size
            value_at = start + length + padding(length)
            if length <= 0 or value_at + 16 > used:
                raise ValueError("an entry ends after the end")
            self.positions[bytes(self.bytes[start : start + length])] = value_at
            self.read_up_to = value_at + 16

    def place(self, value: Value) -> None:
        """Makes `value` live in this file; its cell keeps what the file says. Readers see a new one after
        `publish`."""
        key = value.key.encode()
        if key not in self.positions:
            self.read_new_keys()
        if key not in self.positions:
            self.append(key)
        value.cells, value.index = self.cells, self.positions[key] // 8
        self.placed.append(value)

    def append(self, key: bytes) -> None:
        padded = key + b" " * padding(len(key))
        entry = struct.pack(f"=i{len(padded)}sdd", len(key), padded, 0.0, 0.0)
        start = self.read_up_to
        while start + len(entry) > self.size:
            slots.allocate(self.descriptor, self.size, self.size)
            self.grow_to(self.size * 2)
        self.bytes[start : start + len(entry)] = entry
        self.read_up_to = start + len(entry)
        self.positions[key] = self.read_up_to - 16

    def publish(self) -> None:
        """Shows readers all that was appended, at once: no half entry, no histogram without its end."""
        if self.read_up_to > self.used():
            LENGTH.pack_into(self.memory, 0, self.read_up_to)

    def grow_to(self, size: int) -> None:
        if size <= self.size:
            return
        old_cells, old_bytes, old_memory = self.cells, self.bytes, self.memory
        self.open_memory()
        for value in self.placed:
            value.cells = self.cells
        old_cells.release()
        old_bytes.release()
        old_memory.close()


def padding(length: int) -> int:
    return 8 - (length + LENGTH.size) % 8


class Store:
    """Every value of this process, and the files that they live in while the process holds a slot."""

    def __init__(self) -> None:
        self.slot: Slot | None = None
        self.values: list[Value] = []
        self.files: dict[str, MetricFile] = {}
        self.exemplars = exemplars.Table()

    def add(self, *values: Value) -> None:
        with lock:
            self.values += values
            if self.slot:
                self.place(self.slot, values)

    def attach(self, slot: Slot) -> None:
        """Moves all values into the files of `slot`, on top of what its former holders counted there."""
        with lock:
            self.release()
            self.slot = slot
            self.exemplars.attach(slot)
            self.files["counter"] = MetricFile(slot.descriptor)
            carried = [value.get() for value in self.values]
            self.place(slot, self.values)
            for value, amount in zip(self.values, carried, strict=True):
                if value.prefix != SHARED_PREFIX:
                    value.inc(amount)

    def release(self) -> None:
        """Gives the slot back. What was counted stays in its files, so all values start again from zero."""
        self.exemplars.release()
        if not self.slot:
            return
        for value in self.values:
            value.cells, value.index = array("d", [0.0]), 0
        files, self.files, self.slot = self.files, {}, None
        for file in files.values():
            file.close()

    def place(self, slot: Slot, values: Iterable[Value]) -> None:
        for value in values:
            if value.prefix == SHARED_PREFIX:
                self.place_shared(slot, value)
            else:
                self.file(slot, value.prefix).place(value)
        for file in self.files.values():
            file.publish()

    def place_shared(self, slot: Slot, value: Value) -> None:
        """Published under the lock: another process appends behind it."""
        with slots.directory_lock(slot.directory, LOCK_EX):
            file = self.file(slot, value.prefix)
            file.place(value)
            file.publish()

    def file(self, slot: Slot, prefix: str) -> MetricFile:
        if prefix not in self.files:
            holder = "shared" if prefix == SHARED_PREFIX else slot.name
            path = slot.directory / f"{prefix}_{holder}.db"
            self.files[prefix] = MetricFile(os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
        return self.files[prefix]

    def after_fork_in_child(self) -> None:
        """What the parent counted is the parent's. The inherited descriptors would keep its slot alive."""
        self.release()
        for value in self.values:
            value.set(0.0)


store = Store()


def after_fork_in_child() -> None:
    store.after_fork_in_child()
    lock.release()


os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=after_fork_in_child)


class MetricInCells(prometheus_client.metrics.MetricWrapperBase):
    """Makes the values of a metric, named as upstream names them in the files."""

    def new_value(self, suffix: str, mode: str = "", bound: str | None = None) -> Value:
        names, labels = self._labelnames, self._labelvalues
        if bound is not None:
            names, labels = (*names, "le"), (*labels, bound)
        key = mmap_key(self._name, self._name + suffix, list(names), list(labels), self._documentation)
        return Value(f"{self._type}_{mode}" if mode else str(self._type), key)


class Counter(MetricInCells, prometheus_client.Counter):
    def _metric_init(self) -> None:
        self._value = self.new_value("_total")
        self._created = 0.0
        store.add(self._value)

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """`exemplar` as for `Histogram.observe`."""
        value = self._value
        with lock:
            value.cells[value.index] += amount
        if exemplar is not None:
            keep_exemplar(value, amount, exemplar)


class Gauge(MetricInCells, prometheus_client.Gauge):
    def _metric_init(self) -> None:
        if f"gauge_{self._multiprocess_mode}" not in RULES:
            raise ValueError(f"No rule merges gauges with multiprocess_mode={self._multiprocess_mode!r}.")
        self._value = self.new_value("", mode=self._multiprocess_mode)
        store.add(self._value)

    def inc(self, amount: float = 1) -> None:
        value = self._value
        with lock:
            value.cells[value.index] += amount

    def dec(self, amount: float = 1) -> None:
        value = self._value
        with lock:
            value.cells[value.index] -= amount

    def set(self, value: float) -> None:
        self._value.set(float(value))


class Histogram(MetricInCells, prometheus_client.Histogram):
    def _metric_init(self) -> None:
        self._created = 0.0
        self._sum = self.new_value("_sum")
        bounds = [floatToGoString(bound) for bound in self._upper_bounds]  # type: ignore[no-untyped-call]
        self._buckets: list[Value] = [self.new_value("_bucket", bound=bound) for bound in bounds]
        store.add(self._sum, *self._buckets)

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """`exemplar` is {"trace_id": 32 hex digits} of a sampled trace, and "request_id" if there is one."""
        total = self._sum
        bucket = self._buckets[bisect_left(self._upper_bounds, amount)]
        with lock:
            total.cells[total.index] += amount
            bucket.cells[bucket.index] += 1
        if exemplar is not None:
            keep_exemplar(bucket, amount, exemplar)


def keep_exemplar(counted: Value, amount: float, labels: dict[str, str]) -> None:
    with lock:
        trouble = store.exemplars.keep(counted.key, amount, labels)
    if trouble:  # said without the lock: what listens to the log may count something
        logger.error("exemplars_lost", extra={"reason": trouble})
