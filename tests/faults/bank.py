"""The sandbox bank of an installation's payments, with requests that are held or lost, and payouts' ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import ClassVar

from local.bank.book import PAYOUT, Entry
from local.bank.server import Answer, Bank, Handler
from local.ports import find_free_port

KEY = "the key of the bank of the tests"


class Hold(StrEnum):
    """What happens to the payouts that arrive, until `let_go`."""

    NONE = "none"
    LOSE = "lose"  # they are not taken, and not answered
    ANSWER_LATE = "answer late"  # they are taken, and answered then


class HeldHandler(Handler):
    server: HeldBank

    def take_faultily(self, kind: str, raw: bytes) -> None:
        if kind != PAYOUT or self.server.hold != Hold.LOSE:
            super().take_faultily(kind, raw)
            return
        self.close_connection = True
        self.server.wait()

    def taken(self, kind: str, raw: bytes) -> Answer:
        answer = super().taken(kind, raw)
        if kind == PAYOUT and self.server.hold == Hold.ANSWER_LATE:
            self.server.wait()
        return answer


class HeldBank(Bank):
    handler: ClassVar[type[HeldHandler]] = HeldHandler

    def __init__(self) -> None:
        super().__init__(find_free_port(), key=KEY)
        self.RequestHandlerClass = self.handler
        self.hold = Hold.NONE
        self.arrived = threading.Event()
        self.let_go = threading.Event()

    def begin(self, hold: Hold) -> None:
        self.arrived.clear()
        self.let_go.clear()
        self.hold = hold

    def wait(self) -> None:
        self.arrived.set()
        self.let_go.wait()

    def end(self) -> None:
        self.hold = Hold.NONE
        self.let_go.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def payouts(self) -> list[Entry]:
        return [entry for entry in self.book.newest_first() if entry.kind == PAYOUT]

    def has(self, reference: str) -> bool:
        return self.book.find(PAYOUT, reference) is not None

    def confirm_all(self) -> None:
        for entry in self.payouts():
            self.book.act(entry, "confirm")


@contextmanager
def running_bank() -> Iterator[HeldBank]:
    bank = HeldBank()
    thread = threading.Thread(target=bank.serve_forever, daemon=True)
    thread.start()
    try:
        yield bank
    finally:
        bank.end()
        bank.shutdown()
        bank.server_close()
