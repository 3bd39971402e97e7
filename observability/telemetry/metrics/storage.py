"""Where the values of all metrics are kept: in memory, or in the files of this process's slot.

prometheus_client makes a value for each counter and gauge, and several for each histogram, by calling
`prometheus_client.values.ValueClass`. To replace that class before metrics are declared is upstream's way to
choose another process identifier. `Value` keeps its number in one of upstream's own classes: in `MutexValue`
while the process holds no slot, else in `MultiProcessValue`, whose files are named by the slot.

Upstream guards the values of a process with one lock that is not re-entrant. So nothing that the garbage
collector or a signal handler calls may change a metric: it could wait for a lock that its own thread holds.
"""

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from threading import RLock
from typing import Any

import prometheus_client
import prometheus_client.values
from prometheus_client.samples import Exemplar
from prometheus_client.values import MultiProcessValue, MutexValue, close_all_multiprocess_files

from observability.telemetry.metrics.exemplars import ExemplarFile, series_digest
from observability.telemetry.metrics.slots import Slot, prepare

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # upstream reads the directory from the environment

# `_created` series do not exist with several processes, so there are none with one.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # upstream has no annotation


class Value:
    """One number of a metric. `inc`, `set` and `get` are those of upstream's value that holds the number."""

    inc: Callable[[float], None]
    set: Callable[..., None]
    get: Callable[[], float]

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Sequence[str],
        labelvalues: Sequence[str],
        help_text: str,
        multiprocess_mode: str = "",
    ) -> None:
        self.description = (typ, metric_name, name, labelnames, labelvalues, help_text, multiprocess_mode)
        self.mode = multiprocess_mode
        self.file_prefix = f"{typ}_{multiprocess_mode}" if multiprocess_mode else typ
        store.add(self)

    def move_to(self, value_class: Callable[..., Any]) -> None:
        """Continues with a new instance of `value_class`: at zero, or with what its file says."""
        *description, mode = self.description
        self.kept = value_class(*description, multiprocess_mode=mode)
        self.inc, self.set, self.get = self.kept.inc, self.kept.set, self.kept.get

    @cached_property
    def digest(self) -> bytes:
        _, _, name, labelnames, labelvalues, *_ = self.description
        return series_digest(name, tuple(zip(labelnames, labelvalues, strict=True)))

    def set_exemplar(self, exemplar: Exemplar) -> None:
        if store.exemplars is None:
            self.kept.set_exemplar(exemplar)
        else:
            store.exemplars.keep(self.digest, exemplar)

    def get_exemplar(self) -> Exemplar | None:
        found: Exemplar | None = self.kept.get_exemplar()
        return found


class Store:
    """All values of this process, and the slot whose files they are kept in."""

    def __init__(self) -> None:
        self.forget_slot()
        self.former_directory: str | None = None
        self.lock = RLock()
        self.values: list[Value] = []

    def forget_slot(self) -> None:
        self.slot: Slot | None = None
        self.exemplars: ExemplarFile | None = None
        self.value_class: Callable[..., Any] = MutexValue

    def add(self, value: Value) -> None:
        with self.lock:
            value.move_to(self.value_class)
            self.values.append(value)

    def value(self, name: str) -> Value:
        """Return the value of the counter or gauge `name`, which has no labels. Raises KeyError."""
        for value in self.values:
            _, _, found, *_ = value.description
            if found == name:
                return value
        raise KeyError(name)

    def attach(self, slot: Slot) -> None:
        """Continues to count in the files of `slot`, and adds to them what was counted without a slot.

        Gauges that show the most recent setting are not added: what the file says is a setting too.
        Raises OSError when the files cannot be used; then `release` is to be called.
        """
        with self.lock:
            self.release()
            counted = [value.get() for value in self.values]
            self.former_directory = os.environ.get(DIRECTORY_VARIABLE)
            os.environ[DIRECTORY_VARIABLE] = str(slot.directory)
            self.slot, self.exemplars = slot, ExemplarFile(slot)
            for prefix in {value.file_prefix for value in self.values} - {"counter"}:
                prepare(slot.directory / f"{prefix}_{slot.name}.db")
            # A new class for each slot, because its lock may be held by a thread that a fork has ended.
            # The identifier is asked for at every increment: a method of `str` answers without Python code.
            self.value_class = MultiProcessValue(process_identifier=slot.name.__str__)  # type: ignore[no-untyped-call]
            for value, amount in zip(self.values, counted, strict=True):
                value.move_to(self.value_class)
                if amount and value.mode != "mostrecent":
                    value.inc(amount)

    def release(self) -> None:
        """Gives the slot back. What was counted stays in its files, and all values start again from zero."""
        if self.slot is None or self.exemplars is None:
            return
        slot, exemplars = self.slot, self.exemplars
        self.forget_slot()
        for value in self.values:
            value.move_to(MutexValue)
        close_all_multiprocess_files()  # type: ignore[no-untyped-call]
        del os.environ[DIRECTORY_VARIABLE]
        if self.former_directory is not None:
            os.environ[DIRECTORY_VARIABLE] = self.former_directory
        exemplars.close()
        os.close(slot.descriptor)

    def after_fork_in_child(self) -> None:
        """What the parent counted is the parent's, and its slot must be free as soon as it has ended."""
        self.lock = RLock()
        if self.slot is not None:
            self.release()
            return
        for value in self.values:
            value.move_to(MutexValue)


store = Store()
os.register_at_fork(after_in_child=store.after_fork_in_child)
prometheus_client.values.ValueClass = Value
