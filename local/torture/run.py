"""Runs writers against a durable PostgreSQL, kills both, and counts what was lost or is wrong."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from local import migrated
from local.ports import find_free_port
from local.processes import ChildFailedError, end, spawn
from local.services import PrivatePostgres
from local.torture.writer import LINE_BYTES

ROOT = Path(__file__).resolve().parents[2]
LOOK_SECONDS = 0.25
# Not `NOT IN`: a million rows do not fit into the memory of a hash, and then each row reads all the others.
LOST = """
SELECT count(*) FROM answered WHERE NOT EXISTS (
    SELECT FROM ledger_transfer WHERE ledger_transfer.id = answered.id)
"""


@dataclass(frozen=True)
class Plan:
    """`writer_kills` and `server_kills` are spread evenly over the run."""

    transfers: int
    writers: int = 8
    writer_kills: int = 60
    server_kills: int = 10


@dataclass(frozen=True)
class Result:
    """`lost`: transfers that were answered and are not in the ledger. `findings`: of `check_ledger`."""

    answered: int
    lost: int
    deadlocks: int
    writer_kills: int
    server_kills: int
    seconds: float
    findings: Mapping[str, object]

    @property
    def is_right(self) -> bool:
        wrong = (
            self.lost,
            self.deadlocks,
            self.findings["imbalance_minor"],
            self.findings["unbalanced_transfers"],
            self.findings["drifting_balances"],
            self.findings["negative_balances"],
        )
        return not any(wrong)


class Torture:
    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan = plan
        self.folder = folder
        self.postgres = PrivatePostgres(folder / "postgres", find_free_port())
        self.writers: subprocess.Popen[bytes] | None = None
        self.environment = os.environ | {
            "AMANI_IGNORE_ENV_FILES": "1",
            "DEBUG": "true",
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": "redis://127.0.0.1:9/0",  # no writer asks it
        }

    def run(self) -> Result:
        began = time.monotonic()
        try:
            self.postgres.start()
            if not migrated.restore(self.postgres.url):
                self.manage("migrate", "--verbosity=0")
            killed = self.write_and_kill()
            self.end_writers()
            return self.counted(killed, time.monotonic() - began)
        finally:
            self.end_writers()
            self.postgres.remove()

    def write_and_kill(self) -> tuple[int, int]:
        """Kills a writer or the server each time the next share of the transfers is answered."""
        plan, source = self.plan, random.Random(7)  # noqa: S311  (repeatable, no secret)
        self.start_writers()
        writers = servers = 0
        while (answered := self.answered()) < plan.transfers:
            self.raise_if_ended()
            if answered * (plan.writer_kills + 1) > plan.transfers * (writers + 1):
                writers += 1
                self.kill_writer(source.randrange(plan.writers))
            if answered * (plan.server_kills + 1) > plan.transfers * (servers + 1):
                servers += 1
                self.postgres.kill()
                self.postgres.start()
            time.sleep(LOOK_SECONDS)
        return writers, servers

    def start_writers(self) -> None:
        command = [sys.executable, "-m", "local.torture.writer", str(self.plan.writers), str(self.folder)]
        with (self.folder / "writers.log").open("ab") as log:
            self.writers = spawn(command, environment=self.environment, folder=ROOT, output=log)

    def end_writers(self) -> None:
        if self.writers is not None:
            end(self.writers, signal.SIGKILL, 10)

    def raise_if_ended(self) -> None:
        if self.writers is None or self.writers.poll() is not None:
            words = (self.folder / "writers.log").read_text(errors="replace")[-2000:]
            raise ChildFailedError(f"The writers ended: {words}")

    def kill_writer(self, number: int) -> None:
        try:
            os.kill(int((self.folder / f"pid-{number}").read_text()), signal.SIGKILL)
        except (ProcessLookupError, ValueError):
            return  # its successor is being written down at this moment

    def answered(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("answered-*")) // LINE_BYTES

    def counted(self, killed: tuple[int, int], seconds: float) -> Result:
        ids = [
            int(line)
            for path in self.folder.glob("answered-*")
            for line in path.read_text().splitlines()
            if len(line) == LINE_BYTES - 1
        ]
        with psycopg.connect(self.postgres.url) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE answered (id bigint)")
            with cursor.copy("COPY answered FROM STDIN") as copy:
                copy.write("".join(f"{transfer_id}\n" for transfer_id in ids))
            cursor.execute(LOST)
            row = cursor.fetchone()
        outages = "".join(path.read_text() for path in self.folder.glob("outages-*"))
        return Result(
            answered=len(ids),
            lost=row[0] if row else len(ids),
            deadlocks=outages.count("40P01"),
            writer_kills=killed[0],
            server_kills=killed[1],
            seconds=seconds,
            findings=json.loads(self.manage("check_ledger", "--json", check=False)),
        )

    def manage(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise ChildFailedError(f"manage.py {arguments[0]} failed: {done.stderr[-2000:]}")
        return done.stdout
