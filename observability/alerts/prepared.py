"""Statements that PostgreSQL plans once for each connection: planning them takes as long as running them."""

from __future__ import annotations

import psycopg
from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper


def preparing_cursor() -> CursorWrapper:
    """A cursor whose statements are prepared and planned once for each connection.

    Django's own cursors write the parameters into the SQL, so that every execution is a new statement. This
    one also goes without Django's health check, a round trip of its own: its first use after a while must
    expect a connection that has died.
    """
    if connection.queries_logged:  # only Django's own cursor can show what it sent
        return connection.cursor()
    connection.ensure_connection()
    driver = connection.connection
    cursor = connection.make_cursor(psycopg.Cursor(driver))  # type: ignore[arg-type]  # the stubs are wrong
    # A pooler without sessions keeps nothing. Elsewhere once for each connection: PostgreSQL would plan anew
    # for each set of parameters, since it takes that for cheaper. No plan here depends on the values.
    if not settings.DATABASE_TRANSACTION_POOLING and driver.prepare_threshold != 0:
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        driver.prepare_threshold = 0
    return cursor
