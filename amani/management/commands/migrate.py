"""Runs Django's migrate under a lock, because two instances may start on one database at the same time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands import migrate
from django.db import connections

LOCK = (0x414D, 0)  # "AM", as in observability, where the second number is a channel's slot, from 1
POLL_SECONDS = 0.2


class Command(migrate.Command):
    help = f"{migrate.Command.help} Waits while another migrate works on the same database."

    def handle(self, *args: Any, **options: Any) -> None:
        with only_one(options["database"]):
            super().handle(*args, **options)


@contextmanager
def only_one(database: str) -> Iterator[None]:
    """Holds an advisory lock of the session, which PostgreSQL releases when the process ends.

    Polls instead of waiting inside PostgreSQL: a waiting statement keeps a snapshot, and a migration's
    CREATE INDEX CONCURRENTLY would wait for that snapshot forever.
    """
    while not execute(database, "SELECT pg_try_advisory_lock(%s, %s)"):
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        execute(database, "SELECT pg_advisory_unlock(%s, %s)")


def execute(database: str, statement: str) -> bool:
    with connections[database].cursor() as cursor:
        cursor.execute(statement, LOCK)
        row = cursor.fetchone()
    return bool(row and row[0])
