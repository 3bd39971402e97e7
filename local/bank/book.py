"""What the bank knows: each collection and payout by its reference, and what a person did to it."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

COLLECTION, PAYOUT = "collection", "payout"
FIRST_STATUS = {COLLECTION: "open", PAYOUT: "sent"}
# What a person can do, and the status that follows. Everything at any time: a bank may contradict
# itself. To puzzle is to answer with a status that Amani does not know.
ACTIONS: dict[str, dict[str, str]] = {
    COLLECTION: {"pay": "received", "decline": "unpaid", "reverse": "reversed"},
    PAYOUT: {"confirm": "settled", "fail": "failed", "reverse": "reversed", "puzzle": "under_review"},
}
KEPT = 500


@dataclass(slots=True)
class Entry:
    """A collection or a payout. `facts`: what Amani sent."""

    kind: str
    id: str
    facts: dict[str, Any]
    status: str
    at: str
    paid_minor: int = 0
    paid_currency: str = ""
    requests: int = 1  # how often this reference was sent to us
    history: list[str] = field(default_factory=list)

    @property
    def reference(self) -> str:
        return str(self.facts["reference"])

    @property
    def amount_minor(self) -> int:
        return int(self.facts["amount_minor"])

    @property
    def currency(self) -> str:
        return str(self.facts["currency"])

    def content(self) -> dict[str, Any]:
        """What the API answers about it."""
        said: dict[str, Any] = {"id": self.id, "reference": self.reference, "status": self.status}
        if self.kind == PAYOUT:
            return said | {"amount_minor": self.amount_minor, "currency": self.currency}
        return said | {"paid_minor": self.paid_minor, "currency": self.paid_currency or self.currency}


class Faulty(ValueError):
    """What was sent is no collection or payout; the message says why."""


class Differs(ValueError):
    """The reference is known with other content."""


class Book:
    def __init__(self, file: Path | None = None) -> None:
        """`file`: where it is kept; None keeps it in memory only."""
        self.lock = threading.RLock()
        self.file = file
        self.entries: dict[tuple[str, str], Entry] = {}
        if file and file.exists():
            read = (Entry(**each) for each in json.loads(file.read_text()))
            self.entries = {(entry.kind, entry.reference): entry for entry in read}

    def take(self, kind: str, facts: dict[str, Any]) -> tuple[Entry, bool]:
        """Returns the entry and whether it is new. Raises Faulty; Differs for a reference known otherwise."""
        fault = fault_of(facts)
        if fault:
            raise Faulty(fault)
        with self.lock:
            known = self.entries.get((kind, facts["reference"]))
            if known is None:
                return self._add(kind, facts), True
            known.requests += 1
            if known.facts != facts:
                raise Differs("This reference was used with another content.")
            return known, False

    def find(self, kind: str, reference: str) -> Entry | None:
        with self.lock:
            return self.entries.get((kind, reference))

    def newest_first(self) -> list[Entry]:
        with self.lock:
            return list(reversed(self.entries.values()))

    def act(self, entry: Entry, action: str, *, amount_minor: int = 0, currency: str = "") -> None:
        """Does what a person chose. Raises KeyError for what is no action of its kind."""
        with self.lock:
            entry.status = ACTIONS[entry.kind][action]
            if action == "pay":
                entry.paid_minor, entry.paid_currency = amount_minor, currency or entry.currency
            entry.history.append(f"{datetime.now().astimezone():%H:%M:%S} {action}")
            self._keep()

    def _add(self, kind: str, facts: dict[str, Any]) -> Entry:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        entry = Entry(kind, f"{kind[:3]}_{token_hex(6)}", facts, FIRST_STATUS[kind], now)
        self.entries[kind, entry.reference] = entry
        while len(self.entries) > KEPT:
            self.entries.pop(next(iter(self.entries)))
        self._keep()
        return entry

    def _keep(self) -> None:
        if self.file:
            fresh = self.file.with_suffix(".new")
            fresh.touch(mode=0o600)  # it has bank accounts, though only played ones
            fresh.write_text(json.dumps([asdict(entry) for entry in self.entries.values()]))
            fresh.replace(self.file)


def fault_of(facts: Mapping[str, Any]) -> str:
    """Returns what is wrong with a request; "" for nothing."""
    checks: dict[str, Callable[[Any], bool]] = {
        "reference": lambda value: isinstance(value, str) and 0 < len(value) <= 64,
        "amount_minor": lambda value: type(value) is int and value > 0,
        "currency": lambda value: isinstance(value, str) and len(value) == 3,
        "webhook_url": lambda value: isinstance(value, str) and (not value or value.startswith("http")),
    }
    return next((f"{name} is wrong" for name, holds in checks.items() if not holds(facts.get(name))), "")
