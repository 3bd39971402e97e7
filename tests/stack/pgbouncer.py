"""A PgBouncer of a test's own, in front of the PostgreSQL of the tests."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psycopg

from local import placement, ports
from local.processes import spawn
from local.services import PrivateService

# Each is a database of its own for clients; behind them is one. The second has fewer sessions than the tests
# have clients.
POOLS = {"session": 8, "transaction": 2}


class PgBouncer(PrivateService):
    """`database`: Django's settings of the database behind it."""

    name = "PgBouncer"
    stop_signal = signal.SIGTERM
    stop_seconds = 5.0

    def __init__(self, folder: Path, port: int, program: str, database: Mapping[str, Any]) -> None:
        super().__init__(folder, port)
        self.program = program
        self.database = database
        self.user = placement.unprivileged_user()  # it refuses to run as root

    @property
    def url(self) -> str:
        return self.url_of("session")

    def settings(self) -> dict[str, str]:
        return {"DATABASE_URL": self.url}

    def url_of(self, pool: str) -> str:
        return f"postgresql://{self.database['USER']}:{self.password}@{ports.LOOPBACK}:{self.port}/{pool}"

    def django_settings(self, pool: str) -> dict[str, Any]:
        return {"HOST": ports.LOOPBACK, "PORT": str(self.port), "NAME": pool, "PASSWORD": self.password}

    def prepare(self) -> None:
        behind = self.database
        target = f"host={behind['HOST']} port={behind['PORT'] or 5432} dbname={behind['NAME']}"
        target += f" user={behind['USER']} password='{behind['PASSWORD']}'"
        lines = ["[databases]"]
        for pool, size in POOLS.items():
            lines.append(f"{pool} = {target} pool_mode={pool} pool_size={size}")
        lines += ["[pgbouncer]", f"listen_addr = {ports.LOOPBACK}", f"listen_port = {self.port}"]
        lines += ["unix_socket_dir =", "auth_type = scram-sha-256", f"auth_file = {self.folder / 'users'}"]
        self.write("pgbouncer.ini", "\n".join(lines) + "\n")
        self.write("users", f'"{behind["USER"]}" "{self.password}"\n')

    def write(self, name: str, text: str) -> None:
        """Readable only for the user that PgBouncer runs as."""
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text(text)
        if self.user is not None:
            shutil.chown(file, self.user)

    def spawn(self, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        command = [self.program, str(self.folder / "pgbouncer.ini")]
        return spawn(command, user=self.user, death_signal=self.death_signal, output=output)

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return self.is_running
