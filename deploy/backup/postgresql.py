"""Saves a database with pg_dump, and restores it in one transaction."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from programs import BackupError, pipe, read, read_from, write_to
from web import secret

PASSWORD = re.compile(r"^(postgres(?:ql)?://[^:@/?#]*):([^@/]*)@")
SEEN_BY_OTHERS = re.compile(r"(?:^|[?&\s])password\s*=")
RELATIONS = """\
SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname <> 'information_schema' AND nspname !~ '^pg_' AND relkind IN ('r', 'p', 'v', 'm', 'S')"""
BEGIN = b"SET client_min_messages = warning;\nBEGIN;\nSET LOCAL lock_timeout = '10s';\n"
EMPTY = b"DROP SCHEMA public CASCADE;\nCREATE SCHEMA public;\nGRANT USAGE ON SCHEMA public TO PUBLIC;\n"
COMMIT = b"\nCOMMIT;\n"


class PostgreSQL:
    """`database` is an address or `name=value` pairs for libpq; without it, DATABASE_URL."""

    file = "postgresql.dump"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.before = list(settings.get("run", []))
        self.database, self.environment = without_password(settings.get("database") or secret("DATABASE_URL"))

    def command(self, program: str, *arguments: str) -> list[str]:
        return [*self.before, program, *arguments]

    def psql(self, *arguments: str) -> list[str]:
        return self.command(
            "psql",
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            f"--dbname={self.database}",
            *arguments,
        )

    def save(self, target: Path) -> dict[str, Any]:
        dump = self.command("pg_dump", "--format=custom", f"--dbname={self.database}")
        write_to(target, dump, self.environment)
        contents = read_from(target, self.command("pg_restore", "--list"), self.environment)
        tables = sum(" TABLE DATA " in line for line in contents.splitlines())
        return {"tables": tables}

    def obstacle(self, _source: Path) -> str:
        answer = read(
            self.psql("--tuples-only", "--no-align", f"--command={RELATIONS}"), self.environment
        ).strip()
        return "" if answer == "0" else f"the database has {answer} tables, sequences and views"

    def restore(self, source: Path, *, over_existing: bool) -> str:
        """Either all is restored or nothing has changed. Owner is the role that restores; no grants, which
        `manage.py migrate` makes: a dump would name a role that may be missing here."""
        pipe(
            self.command("pg_restore", "--file=-", "--no-owner", "--no-privileges"),
            source,
            self.psql(),
            self.environment,
            before=BEGIN + (EMPTY if over_existing else b""),
            after=COMMIT,
        )
        read(self.psql("--command=ANALYZE"), self.environment)
        return "all tables restored; run manage.py migrate, which lets the application use them"


def without_password(address: str) -> tuple[str, dict[str, str]]:
    """Moves the password from the address, which every user of the machine can see, to the environment."""
    if not address:
        raise BackupError("[postgresql] needs `database`, or DATABASE_URL in the environment.")
    if SEEN_BY_OTHERS.search(address):
        raise BackupError("Give the password in PGPASSWORD or PGPASSFILE, or before the host of an address.")
    found = PASSWORD.match(address)
    if found is None:
        return address, dict(os.environ)
    rest = f"{found[1]}@{address[found.end() :]}"
    return rest, {**os.environ, "PGPASSWORD": unquote(found[2])}
