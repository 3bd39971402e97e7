"""Exemplars: which trace a histogram's bucket or a counter saw last, also when several processes count.

prometheus_client has none with several processes. Here each slot has one more file, `exemplars_<slot>.bin`,
made at the first exemplar: an array of records of one size, one for each series that ever got an exemplar.
A record is written in place with its checksum, so readers take no lock: a half-written one is left out of
that scrape, and a damaged one is free space to the next holder of the slot. Losing exemplars never costs a
metric.
"""

import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import prometheus_client.samples
from prometheus_client.utils import floatToGoString

from core.request_id import WELL_FORMED
from observability.telemetry.metrics import slots
from observability.telemetry.metrics.series import DIGEST_BYTES, key_digest
from observability.telemetry.metrics.slots import Slot

# Digest of the series' key, value, Unix time, trace id, request id padded with zeros.
BODY = struct.Struct(f"={DIGEST_BYTES}sdd16s64s")
HEAD = struct.Struct(f"={DIGEST_BYTES}sdd")
IDS = struct.Struct("=16s64s")
RECORD = struct.Struct(f"={BODY.size}s4xI")
END = struct.Struct("=4xI")
INITIAL_BYTES = 512 * RECORD.size
MAXIMUM_BYTES = 16 * INITIAL_BYTES  # under 1 MB a slot
SHOWN_SECONDS = 3600.0
AHEAD_SECONDS = 60.0  # of a clock further ahead, an exemplar would stay the newest for long

Labels = Mapping[str, str]


class Exemplar(NamedTuple):
    digest: bytes
    value: float
    timestamp: float
    trace_id: bytes
    request_id: bytes

    @property
    def labels(self) -> dict[str, str]:
        """At most 114 of the 128 characters that OpenMetrics allows."""
        request = {"request_id": self.request_id.decode("ascii", "replace")} if self.request_id else {}
        return {**request, "trace_id": self.trace_id.hex()}


def pack(digest: bytes, value: float, labels: Labels) -> bytes | None:
    """A record of now, without a request id that isn't well-formed; None if the trace id isn't."""
    ids = packed_ids(
        labels["trace_id"] if "trace_id" in labels else "",  # noqa: SIM401  (`get` is a call)
        labels["request_id"] if "request_id" in labels else "",  # noqa: SIM401
    )
    if ids is None:
        return None
    body = HEAD.pack(digest, value, time.time()) + ids
    return body + END.pack(zlib.crc32(body))


@lru_cache(maxsize=16)
def packed_ids(trace_id: str, request_id: str) -> bytes | None:
    """The end of a record's body. Remembered, since what a request counts has the same ids each time."""
    try:
        trace = bytes.fromhex(trace_id)
    except ValueError:
        return None
    if len(trace) != 16 or not any(trace):
        return None
    request = request_id if WELL_FORMED.fullmatch(request_id) else ""
    return IDS.pack(trace, request.encode())


def unpack(body: bytes, checksum: int) -> Exemplar | None:
    """None for what is empty, half-written or damaged."""
    if zlib.crc32(body) != checksum:
        return None
    digest, value, timestamp, trace_id, request_id = BODY.unpack(body)
    return Exemplar(digest, value, timestamp, trace_id, request_id.rstrip(b"\0"))


def unpack_all(data: bytes) -> Iterator[tuple[int, Exemplar]]:
    """Every whole record, and where it begins."""
    whole = memoryview(data)[: len(data) - len(data) % RECORD.size]
    for number, (body, checksum) in enumerate(RECORD.iter_unpack(whole)):
        if checksum and (exemplar := unpack(body, checksum)):
            yield number * RECORD.size, exemplar


# --- Writing ---


class Table:
    """This process's exemplars: in the file of its slot, or in memory while it has none.

    Whoever calls it holds `values.lock`.
    """

    def __init__(self) -> None:
        self.slot: Slot | None = None
        self.forget()

    def forget(self) -> None:
        self.descriptor: int | None = None
        self.data: bytearray | mmap.mmap = bytearray()
        self.places: dict[str, tuple[int, bytes]] = {}  # by key: where its record begins, its digest
        self.inherited: dict[bytes, int] = {}  # by digest: where former holders' records begin
        self.free: list[int] = []
        self.is_open = False
        self.failed = False

    def attach(self, slot: Slot) -> None:
        self.release()
        self.slot = slot

    def release(self) -> None:
        if isinstance(self.data, mmap.mmap):
            self.data.close()
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.slot = None
        self.forget()

    def keep(self, key: str, value: float, labels: Labels) -> str:
        """Makes it the newest of the series with `key`. Returns what went wrong, the first time; else ""."""
        try:
            if key not in self.places:
                if self.failed:
                    return ""
                self.places[key] = self.place(key_digest(key.encode()))
            begin, digest = self.places[key]
            if record := pack(digest, value, labels):
                self.data[begin : begin + RECORD.size] = record
        except OSError as error:
            self.failed = True
            return str(error)
        return ""

    def of(self, key: str) -> prometheus_client.samples.Exemplar | None:
        if key not in self.places:
            return None
        begin, _ = self.places[key]
        found = unpack(*RECORD.unpack_from(self.data, begin))
        if found is None or not is_recent(found, time.time()):
            return None
        return prometheus_client.samples.Exemplar(found.labels, found.value, round(found.timestamp, 3))

    def place(self, digest: bytes) -> tuple[int, bytes]:
        """OSError when there is no room."""
        if not self.is_open:
            self.open()
        if digest in self.inherited:
            return self.inherited[digest], digest
        if not self.free:
            self.grow(len(self.data) * 2)
        return self.free.pop(), digest

    def open(self) -> None:
        if self.slot:
            path = self.slot.directory / f"exemplars_{self.slot.name}.bin"
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            self.map(os.fstat(self.descriptor).st_size)
            self.inherit()
        if len(self.data) < INITIAL_BYTES:
            self.grow(INITIAL_BYTES)
        self.is_open = True

    def inherit(self) -> None:
        """What isn't whole is free."""
        whole = dict(unpack_all(bytes(self.data)))
        self.inherited = {exemplar.digest: begin for begin, exemplar in whole.items()}
        self.free = [begin for begin in record_places(0, len(self.data)) if begin not in whole]

    def grow(self, size: int) -> None:
        before = len(self.data)
        if size > MAXIMUM_BYTES:
            raise OSError(f"{before} bytes of exemplars are full")
        if isinstance(self.data, bytearray) and self.descriptor is None:
            self.data += bytes(size - before)
        elif self.descriptor is not None:
            slots.allocate(self.descriptor, before, size - before)
            self.map(size)
        self.free += record_places(before, size)

    def map(self, size: int) -> None:
        if size and self.descriptor is not None:
            before, self.data = self.data, mmap.mmap(self.descriptor, size)
            if isinstance(before, mmap.mmap):
                before.close()


def record_places(start: int, end: int) -> range:
    """Where the records that end between `start` and `end` begin."""
    return range(start - start % RECORD.size, end - RECORD.size + 1, RECORD.size)


# --- Reading ---


def is_recent(exemplar: Exemplar, now: float) -> bool:
    return now - SHOWN_SECONDS <= exemplar.timestamp <= now + AHEAD_SECONDS


def read_exemplars(directory: Path) -> dict[bytes, str]:
    """What stands behind the value of a series, by the digest of its key: the newest of all slots."""
    newest: dict[bytes, Exemplar] = {}
    now = time.time()
    for path in directory.glob("exemplars_*.bin"):
        with suppress(OSError):
            for _, one in unpack_all(path.read_bytes()):
                if is_recent(one, now) and (
                    one.digest not in newest or newest[one.digest].timestamp < one.timestamp
                ):
                    newest[one.digest] = one
    return {digest: as_text(exemplar) for digest, exemplar in newest.items()}


def as_text(exemplar: Exemplar) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in exemplar.labels.items())
    value = floatToGoString(exemplar.value)  # type: ignore[no-untyped-call]
    return f" # {{{labels}}} {value} {exemplar.timestamp:.3f}"
