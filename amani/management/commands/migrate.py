"""Django's migrate, one at a time: two instances may start on one database at the same moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands import migrate
from django.db import connections

LOCK = (0x414D, 0)  # "AM", as in observability; 0 is no channel's slot
POLL_SECONDS = 0.2


class Command(migrate.Command):
    help = f"{migrate.Command.help} Waits while another migrate works on the same database."

    def handle(self, *args: Any, **options: Any) -> None:
        with only_one(options["database"]):
            super().handle(*args, **options)


@contextmanager
def only_one(database: str) -> Iterator[None]:
    """Holds an advisory lock of the session, which goes with the process however it ends.

    Asks again and again instead of waiting inside PostgreSQL: a statement that waits keeps a snapshot, and a
    migration's CREATE INDEX CONCURRENTLY would wait for that snapshot for ever.
    """
    while not ask(database, "SELECT pg_try_advisory_lock(%s, %s)"):
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        ask(database, "SELECT pg_advisory_unlock(%s, %s)")


def ask(database: str, statement: str) -> bool:
    with connections[database].cursor() as cursor:
        cursor.execute(statement, LOCK)
        row = cursor.fetchone()
    return bool(row and row[0])
