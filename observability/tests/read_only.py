"""A test database that refuses writes for a while, as managed ones do when a disk is nearly full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connection


def alter_database(setting: str) -> None:
    """`SET default_transaction_read_only = on` or `RESET …`, in a session that may do so in any case."""
    settings = connection.settings_dict
    with psycopg.connect(
        host=settings["HOST"],
        port=settings["PORT"],
        user=settings["USER"],
        password=settings["PASSWORD"],
        dbname=settings["NAME"],
        options="-c default_transaction_read_only=off",
        autocommit=True,
    ) as session:
        name = psycopg.sql.Identifier(settings["NAME"])
        session.execute(psycopg.sql.SQL("ALTER DATABASE {} {}").format(name, psycopg.sql.SQL(setting)))


@contextmanager
def read_only_database() -> Iterator[None]:
    """New sessions can only read. Nobody's connection is cut at the end: that is what is tested."""
    alter_database("SET default_transaction_read_only = on")
    connection.close()
    try:
        yield
    except BaseException:
        connection.close()  # the test has failed already; what follows it must be able to clean up
        raise
    finally:
        alter_database("RESET default_transaction_read_only")
