"""Exemplars: which trace a histogram's bucket or a counter saw last, also when several processes count.

prometheus_client has none with several processes: its value in a file cannot hold one. Here each slot has one
more file, `exemplars_<slot>.bin`, made at the first exemplar: an array of records of one size, one for each
series that ever got an exemplar. A record is written in place with its checksum, so readers take no lock: a
record that does not match its checksum is left out of that scrape, and its place is free for the next holder
of the slot. Losing exemplars never costs a metric.
"""

import json
import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from threading import Lock

import structlog
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Sample

from core.request_id import WELL_FORMED
from observability.telemetry.metrics import slots
from observability.telemetry.metrics.slots import Slot

log = structlog.get_logger(__name__)

DIGEST_BYTES = 16
# Digest of the series, value, Unix time, trace id, request id padded with zeros.
BODY = struct.Struct(f"={DIGEST_BYTES}sdd16s64s")
HEAD = struct.Struct(f"={DIGEST_BYTES}sdd")
IDS = struct.Struct("=16s64s")
RECORD = struct.Struct(f"={BODY.size}s4xI")
END = struct.Struct("=4xI")
INITIAL_BYTES = 512 * RECORD.size
MAXIMUM_BYTES = 16 * INITIAL_BYTES  # under 1 MB a slot
SHOWN_SECONDS = 3600.0
AHEAD_SECONDS = 60.0  # an exemplar from a clock that is further ahead would stay the newest for long

Labels = Mapping[str, str]


@lru_cache(maxsize=16_384)  # a scrape asks for every series of the answer
def series_digest(name: str, labels: tuple[tuple[str, str], ...]) -> bytes:
    """Names the series in the files: `name` is e.g. `http_requests_total`; `labels` may be in any order."""
    return blake2b(json.dumps([name, *sorted(labels)]).encode(), digest_size=DIGEST_BYTES).digest()


def pack(digest: bytes, exemplar: Exemplar) -> bytes | None:
    """The record of `exemplar`, without a request id that is not well-formed; None if the trace id is not."""
    ids = packed_ids(exemplar.labels.get("trace_id", ""), exemplar.labels.get("request_id", ""))
    if ids is None:
        return None
    body = HEAD.pack(digest, exemplar.value, exemplar.timestamp or time.time()) + ids
    return body + END.pack(zlib.crc32(body))


@lru_cache(maxsize=16)  # what a request counts has the same ids each time
def packed_ids(trace_id: str, request_id: str) -> bytes | None:
    """The end of a record's body."""
    try:
        trace = bytes.fromhex(trace_id)
    except ValueError:
        return None
    if len(trace) != 16 or not any(trace):
        return None
    request = request_id if WELL_FORMED.fullmatch(request_id) else ""
    return IDS.pack(trace, request.encode())


def unpack(body: bytes) -> tuple[bytes, Exemplar]:
    """Digest and exemplar. Its labels have at most 114 of the 128 characters that OpenMetrics allows."""
    digest, value, timestamp, trace_id, request_id = BODY.unpack(body)
    labels = {"trace_id": trace_id.hex()}
    if request := request_id.rstrip(b"\0"):
        labels["request_id"] = request.decode("ascii", "replace")
    return digest, Exemplar(labels, value, round(timestamp, 3))


def unpack_all(data: bytes) -> Iterator[tuple[int, bytes, Exemplar]]:
    """Where each intact record begins, its digest and its exemplar. Empty and damaged ones are left out."""
    whole = memoryview(data)[: len(data) - len(data) % RECORD.size]
    for number, (body, checksum) in enumerate(RECORD.iter_unpack(whole)):
        if checksum and zlib.crc32(body) == checksum:
            yield number * RECORD.size, *unpack(body)


# --- Writing ---


class ExemplarFile:
    """The exemplars of this process, in the file of its slot, which is opened at the first one."""

    def __init__(self, slot: Slot) -> None:
        self.path = slot.directory / f"exemplars_{slot.name}.bin"
        self.lock = Lock()
        self.memory: mmap.mmap | None = None
        self.places: dict[bytes, int] = {}  # by digest: where the record begins
        self.free: list[int] = []
        self.failed = False

    def keep(self, digest: bytes, exemplar: Exemplar) -> None:
        """Makes `exemplar` the newest of its series. Without room it is lost; the log says so once."""
        record = pack(digest, exemplar)
        if record is None:
            return
        try:
            with self.lock:
                self.write(digest, record)
        except OSError as error:
            is_first, self.failed = not self.failed, True
            if is_first:  # not under the lock: a handler of the log may count something
                log.error("exemplars_lost", reason=str(error))  # noqa: TRY400  (reason is enough)

    def write(self, digest: bytes, record: bytes) -> None:
        """Raises OSError when there is no room for a new series."""
        if self.failed and digest not in self.places:
            return
        memory = self.memory or self.open()
        if digest not in self.places:
            if not self.free:
                memory = self.grow(memory)
            self.places[digest] = self.free.pop()
        begin = self.places[digest]
        memory[begin : begin + RECORD.size] = record

    def open(self) -> mmap.mmap:
        """Takes over the records of the slot's former holders. The places of damaged ones are free."""
        memory = self.memory = self.map(INITIAL_BYTES)
        self.places = {digest: begin for begin, digest, _ in unpack_all(memory[:])}
        taken = set(self.places.values())
        self.free = [begin for begin in record_places(0, len(memory)) if begin not in taken]
        return memory

    def grow(self, memory: mmap.mmap) -> mmap.mmap:
        before = len(memory)
        if 2 * before > MAXIMUM_BYTES:
            raise OSError(f"{before} bytes of exemplars are full")
        self.memory = self.map(2 * before)
        memory.close()
        self.free += record_places(before, 2 * before)
        return self.memory

    def map(self, size: int) -> mmap.mmap:
        """The whole file, which is made `size` bytes long if it is shorter."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            before = os.fstat(descriptor).st_size
            if before < size:
                slots.allocate(descriptor, before, size - before)
            return mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        if self.memory is not None:
            self.memory.close()
            self.memory = None


def record_places(start: int, end: int) -> range:
    """Where the records that end between `start` and `end` begin."""
    return range(start - start % RECORD.size, end - RECORD.size + 1, RECORD.size)


# --- Reading ---


def read_exemplars(directory: Path) -> dict[bytes, Exemplar]:
    """The newest exemplar of each series, by its digest, of all slots."""
    newest: dict[bytes, Exemplar] = {}
    now = time.time()
    for path in directory.glob("exemplars_*.bin"):
        with suppress(OSError):
            for _, digest, exemplar in unpack_all(path.read_bytes()):
                if is_recent(exemplar, now) and (
                    digest not in newest or timestamp_of(newest[digest]) < timestamp_of(exemplar)
                ):
                    newest[digest] = exemplar
    return newest


def is_recent(exemplar: Exemplar, now: float) -> bool:
    return now - SHOWN_SECONDS <= timestamp_of(exemplar) <= now + AHEAD_SECONDS


def timestamp_of(exemplar: Exemplar) -> float:
    """Unix time; every exemplar that was read from a file has one."""
    return float(exemplar.timestamp or 0.0)


def add_exemplars(families: Iterable[Metric], exemplars: Mapping[bytes, Exemplar]) -> None:
    """Gives the samples of counters and buckets in `families` their exemplars."""
    if not exemplars:
        return
    for family in families:
        if family.type in ("counter", "histogram"):
            family.samples = [with_exemplar(sample, exemplars) for sample in family.samples]


def with_exemplar(sample: Sample, exemplars: Mapping[bytes, Exemplar]) -> Sample:
    exemplar = exemplars.get(series_digest(sample.name, tuple(sample.labels.items())))
    return sample._replace(exemplar=exemplar) if exemplar else sample
