"""Runs Django's migrate under a lock, because several instances may start on one database at once.

Afterwards the role of the application gets its rights (DATABASE_APPLICATION_ROLE, core/database_roles.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import Error, NotSupportedError, connections

from core.database_roles import UnusableRole, grant_rights, guard_functions, require_usable
from core.kept_triggers import guard_triggers
from core.pooling import NoSessions, require_sessions

# "AM", as for the slots of channels in observability, whose numbers are made of the channel's name.
LOCK = {"space": 0x414D, "number": 0}
POLL_SECONDS = 0.2
REPORT_SECONDS = 10.0

TRY_LOCK = "SELECT pg_try_advisory_lock(%(space)s, %(number)s)"
UNLOCK = "SELECT pg_advisory_unlock(%(space)s, %(number)s)"
OURS = """
FROM pg_locks AS held
WHERE held.locktype = 'advisory' AND held.granted
  AND held.classid = %(space)s AND held.objid = %(number)s AND held.objsubid = 2
  AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
IS_HELD = f"SELECT count(*) {OURS} AND held.pid = pg_backend_pid()"
# Of the sessions of another role, PostgreSQL shows the number only.
HOLDER = f"""
SELECT held.pid, activity.usename, host(activity.client_addr), activity.state,
       extract(epoch FROM now() - activity.state_change)::bigint, pg_blocking_pids(held.pid)
FROM pg_stat_activity AS activity RIGHT JOIN (SELECT held.pid {OURS}) AS held USING (pid)
"""  # noqa: S608  (of constants)


class Command(migrate.Command):
    help = (
        f"{migrate.Command.help} Waits while another migrate works on the same database. Afterwards gives "
        "the role in DATABASE_APPLICATION_ROLE the rights of the application."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--wait",
            type=float,
            default=settings.MIGRATE_WAIT_SECONDS,
            metavar="SECONDS",
            help="how long to wait for another migrate (default: MIGRATE_WAIT_SECONDS)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        database = options["database"]
        try:
            require_sessions("migrate", database)
        except (NoSessions, NotSupportedError) as problem:  # NotSupportedError: PostgreSQL is too old
            raise CommandError(str(problem)) from None
        only_looks = options["plan"] or options["check_unapplied"]
        role = "" if only_looks else settings.DATABASE_APPLICATION_ROLE
        if role:
            refuse_unusable(role, database)
        with only_one(database, options["wait"], self.stderr.write):
            super().handle(*args, **options)
            if not only_looks:
                guard_functions(database)
                guard_triggers(database)
            if role:
                grant_rights(role, database)


def refuse_unusable(role: str, database: str) -> None:
    try:
        require_usable(role, database)
    except UnusableRole as problem:
        raise CommandError(str(problem)) from None


@contextmanager
def only_one(database: str, wait_seconds: float, say: Callable[[str], None]) -> Iterator[None]:
    """Holds an advisory lock of the session, which PostgreSQL releases when the process ends.

    Raises CommandError if the lock is still taken after `wait_seconds`, or was not held all the time.
    """
    await_lock(database, wait_seconds, say)
    if not ask(database, IS_HELD):
        raise CommandError(
            "The next statement ran in another session than the one that has the lock now, so DATABASE_URL "
            "leads to a pooler that gives every transaction another session. Nothing was migrated. Give "
            "migrate a DATABASE_URL of PostgreSQL itself, or of a pool with pool_mode = session, and end the "
            "session that has the lock (pg_locks, locktype advisory)."
        )
    try:
        yield
    except BaseException:  # also Ctrl-C: a pool in session mode would keep the lock with its session
        with suppress(Error):  # the migration's own error is the one to report
            ask(database, UNLOCK)
        raise
    if not ask(database, UNLOCK):
        raise CommandError(
            "The migrations ran, but the lock was lost meanwhile: another migrate may have run at the same "
            "time. Run migrate again; it must find nothing to apply."
        )


def await_lock(database: str, wait_seconds: float, say: Callable[[str], None]) -> None:
    """Polls instead of waiting inside PostgreSQL: a waiting statement keeps a snapshot, and a migration's
    CREATE INDEX CONCURRENTLY would wait for that snapshot forever."""
    began = reported = time.monotonic()
    while not ask(database, TRY_LOCK):
        now = time.monotonic()
        waited = f"{now - began:.0f} s of {wait_seconds:.0f} s"
        if now - began >= wait_seconds:
            raise CommandError(
                f"Another migrate holds the lock, also after {waited}: {holder_of(database)}. Nothing was "
                "changed here. If it still works, wait longer (--wait, MIGRATE_WAIT_SECONDS). If no migrate "
                "runs, end that session with pg_terminate_backend()."
            )
        if now - reported >= REPORT_SECONDS:
            reported = now
            say(f"Waiting for another migrate ({waited}): {holder_of(database)}.")
        time.sleep(POLL_SECONDS)


def holder_of(database: str) -> str:
    """Returns the session that has the lock, in words."""
    with connections[database].cursor() as cursor:
        cursor.execute(HOLDER, LOCK)
        row = cursor.fetchone()
    if row is None:
        return "it has just ended"
    process, role, address, state, seconds, blockers = row
    words = f"session {process}"
    if role:
        words += f" of {role} from {address or 'a local socket'}, {state} for {seconds} s"
    if blockers:
        words += f", which waits for a lock of session {', '.join(map(str, blockers))}"
    return words


def ask(database: str, statement: str) -> bool:
    with connections[database].cursor() as cursor:
        cursor.execute(statement, LOCK)
        row = cursor.fetchone()
    return bool(row and row[0])
