"""Which process writes which metric files.

Every process of Amani takes a slot: `web-0`, `web-1`, `worker-main-0`, `worker-3`, `beat-0`, `command-0`,
always the lowest free number of its role. Its metric files are named by the slot and are continued by the
next holder, so that recycled workers neither lose counts nor add files.

A slot is held by an flock on its counter file. The kernel releases the lock however the process ends, also
by SIGKILL and also when its parent ended first, so no hook has to run: the next holder deletes the live
gauges of the last one, and until then a scrape leaves them out. The holder's process id is in four bytes of
the counter file's header that prometheus_client leaves unused.
"""

import fcntl
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

INITIAL_BYTES = 1 << 18  # room for about 1,000 series
HEADER = struct.Struct("=i4x")  # the bytes used; 0 in a new file
PROCESS_ID = struct.Struct("=4xi")
DIRECTORY_LOCK = "slots.lock"


@dataclass(frozen=True)
class Slot:
    """A slot held by this process. `descriptor` keeps the lock; closing it gives the slot back."""

    directory: Path
    name: str
    descriptor: int

    @property
    def role(self) -> str:
        return role_of(self.name)


def role_of(slot_name: str) -> str:
    """`worker-main-0` and `worker-3` are both of the role `worker`."""
    return slot_name.split("-", 1)[0]


def counter_file(directory: Path, slot_name: str) -> Path:
    return directory / f"counter_{slot_name}.db"


@contextmanager
def directory_lock(directory: Path, operation: int) -> Iterator[None]:
    """Held alone while a slot is taken, shared while a scrape looks who is alive."""
    # For reading, so that a command run by another user does not lock everybody out.
    descriptor = os.open(directory / DIRECTORY_LOCK, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, operation)
        yield
    finally:
        os.close(descriptor)


def take_slot(directory: Path, kind: str) -> Slot:
    """The lowest free slot of `kind`, e.g. `web-0`, with the live gauges of its last holder removed."""
    directory.mkdir(parents=True, exist_ok=True)
    with directory_lock(directory, fcntl.LOCK_EX):
        number = 0
        while (descriptor := lock_file(counter_file(directory, f"{kind}-{number}"))) is None:
            number += 1
        slot = Slot(directory, f"{kind}-{number}", descriptor)
        for leftover in directory.glob(f"gauge_live*_{slot.name}.db"):
            leftover.unlink()
        os.pwrite(descriptor, struct.pack("=i", os.getpid()), 4)
        return slot


def lock_file(path: Path) -> int | None:
    """A descriptor of `path`, made if need be, that holds its lock; None while another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        make_usable(descriptor, path)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def prepare(path: Path) -> None:
    """Makes the metric file `path` usable for prometheus_client. Raises OSError when it cannot be."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        make_usable(descriptor, path)
    finally:
        os.close(descriptor)


def make_usable(descriptor: int, path: Path) -> None:
    """Empties the file if it is damaged, and gives it all its blocks.

    prometheus_client makes sparse files, where a full disk is a SIGBUS at a write; here it is an OSError now.
    """
    if is_damaged(path):
        os.ftruncate(descriptor, 0)
    allocate(descriptor, 0, max(os.fstat(descriptor).st_size, INITIAL_BYTES))


def is_damaged(path: Path) -> bool:
    """Whether prometheus_client could not continue the file, e.g. after a crash of the machine."""
    with path.open("rb") as file:
        header = file.read(HEADER.size)
    try:
        used: int = HEADER.unpack(header)[0]
        for key, *_ in MmapedDict.read_all_values_from_file(path):  # type: ignore[no-untyped-call]
            json.loads(key)
    except (ValueError, RuntimeError, struct.error):
        return True
    return used != 0 and used < HEADER.size


def allocate(descriptor: int, start: int, count: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, start, count)
    else:  # macOS
        os.ftruncate(descriptor, start + count)


def live_slots(directory: Path) -> dict[str, int]:
    """The process id of every slot that is held now."""
    with directory_lock(directory, fcntl.LOCK_SH):
        holders = {
            path.stem.removeprefix("counter_"): holder(path) for path in directory.glob("counter_*.db")
        }
    return {name: process_id for name, process_id in holders.items() if process_id is not None}


def holder(path: Path) -> int | None:
    """The process that holds the lock of `path`, or None."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            process_id: int = PROCESS_ID.unpack(file.read(PROCESS_ID.size))[0]
            return process_id
    return None
