"""Recognises a pooler that gives every transaction another session of PostgreSQL.

    require_sessions("migrate")  # raises NoSessions, whose message names the settings

PgBouncer does so with `pool_mode = transaction`. What belongs to a session does not work there: an advisory
lock of a session may never be released, and a prepared statement is unknown to the next session or known to
it with another text. Locks of a transaction (`pg_advisory_xact_lock`) and `SET LOCAL` work everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

ROUNDS = 10
PROBE_SECONDS = 5.0  # a pool without a free session lets a client wait for minutes
OWN_SESSION = "SELECT pg_backend_pid()"
FOUND = (
    "DATABASE_URL leads to a pooler that gives every transaction another session "
    "(in PgBouncer: pool_mode = transaction)"
)
SAID = "DATABASE_TRANSACTION_POOLING is true"
NEEDED = (
    "needs a session of its own, for its locks. Give it a DATABASE_URL of PostgreSQL itself, or of a pool "
    "with pool_mode = session, and leave DATABASE_TRANSACTION_POOLING unset for it."
)


class NoSessions(Exception):
    """The database connection has no session of its own."""


def require_sessions(who: str, database: str = DEFAULT_DB_ALIAS) -> None:
    """Raises NoSessions if a session's lock, taken on this database, would not stay with the connection.

    `who`: what needs one, the first word of the message.
    """
    if settings.DATABASE_TRANSACTION_POOLING:
        raise NoSessions(f"{SAID}. {who} {NEEDED}")
    if is_pooled_by_transaction(connections[database]):
        raise NoSessions(f"{FOUND}. {who} {NEEDED}")


def is_pooled_by_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Returns whether two connections were given the same session at the same time.

    Costs one statement without a pooler, and two connections with one. False if the pool has no session to
    spare for the question.
    """
    if not has_pooler(connection):
        return False
    parameters = dict(connection.get_connection_params())
    parameters.pop("cursor_factory", None)  # Django's, for connections that are not asynchronous
    try:
        return asyncio.run(share_sessions(parameters))
    except TimeoutError:
        return False


def has_pooler(connection: BaseDatabaseWrapper) -> bool:
    """Returns whether the other end is not PostgreSQL itself: a pooler tells its clients numbers of its own
    as the process that serves them, because that can change."""
    with connection.cursor() as cursor:
        cursor.execute(OWN_SESSION)
        row = cursor.fetchone()
    return row is not None and row[0] != connection.connection.info.backend_pid


async def share_sessions(parameters: Mapping[str, Any]) -> bool:
    """Asks in the order 1, 2, 2, 1: in a quiet pool the second gets the session that the first had; in a pool
    that takes turns one of them sees two. Where others use the pool meanwhile it may take a few rounds."""
    async with asyncio.timeout(PROBE_SECONDS):
        first = await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
        async with first, await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as second:
            ones: set[int | None] = set()
            twos: set[int | None] = set()
            for _ in range(ROUNDS):
                ones.add(await session_of(first))
                twos |= {await session_of(second), await session_of(second)}
                ones.add(await session_of(first))
                if len(ones) > 1 or len(twos) > 1 or ones & twos:
                    return True
    return False


async def session_of(connection: psycopg.AsyncConnection[Any]) -> int | None:
    row = await (await connection.execute(OWN_SESSION)).fetchone()
    return row[0] if row else None
