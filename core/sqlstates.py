"""Decides whether an error of the database is an outage, which will pass, or a fault of Amani.

One table of SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html) is used by web, worker
and commands. A SQLSTATE that is not in it is a fault. This module reads neither the database nor settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

import psycopg
from django.db import InterfaceError, OperationalError


class Reason(StrEnum):
    """The reason of an outage; also a label of metrics and a field of log lines."""

    READ_ONLY = "read_only"
    CONNECTION_LOST = "connection_lost"
    SHUTTING_DOWN = "shutting_down"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    DISK_FULL = "disk_full"
    OUT_OF_MEMORY = "out_of_memory"
    LIMIT_REACHED = "limit_reached"
    STORAGE_FAILS = "storage_fails"
    TIMED_OUT = "timed_out"
    LOCKED = "locked"
    CONFLICT = "conflict"


DESCRIPTIONS = {
    Reason.READ_ONLY: "refuses writes: it is read-only or a standby",
    Reason.CONNECTION_LOST: "cannot be reached, or ended the connection",
    Reason.SHUTTING_DOWN: "is shutting down or starting",
    Reason.TOO_MANY_CONNECTIONS: "has no connection left",
    Reason.DISK_FULL: "has no disk space left",
    Reason.OUT_OF_MEMORY: "has no memory left",
    Reason.LIMIT_REACHED: "has reached a limit of its configuration",
    Reason.STORAGE_FAILS: "cannot read or write its files",
    Reason.TIMED_OUT: "took longer than its statement timeout, or the statement was canceled",
    Reason.LOCKED: "waited too long for a lock",
    Reason.CONFLICT: "ended this transaction because of a conflict with another",
}


class Outage(NamedTuple):
    """An outage of the database. `ends_connection`: this connection will keep failing, a new one may work."""

    reason: Reason
    ends_connection: bool = False


LOST = Outage(Reason.CONNECTION_LOST, ends_connection=True)
SHUTDOWN = Outage(Reason.SHUTTING_DOWN, ends_connection=True)
CONFLICT = Outage(Reason.CONFLICT)

# Keys are a SQLSTATE, or the first two characters for all other SQLSTATEs of the class.
OUTAGES: dict[str, Outage] = {
    "08": LOST,  # connection exceptions; PgBouncer answers 08P01 when it has no free server
    "25006": Outage(Reason.READ_ONLY, ends_connection=True),  # a session stays read-only until its end
    "25P03": LOST,  # idle_in_transaction_session_timeout ended the session
    "25P04": LOST,  # transaction_timeout likewise
    "40001": CONFLICT,  # serialization failure, or a conflict with a standby's recovery
    "40P01": CONFLICT,  # deadlock
    "53": Outage(Reason.LIMIT_REACHED),
    "53100": Outage(Reason.DISK_FULL),
    "53200": Outage(Reason.OUT_OF_MEMORY),
    "53300": Outage(Reason.TOO_MANY_CONNECTIONS),
    "53400": Outage(Reason.LIMIT_REACHED),  # temp_file_limit and the like
    "55P03": Outage(Reason.LOCKED),  # lock_timeout, NOWAIT
    "57014": Outage(Reason.TIMED_OUT),  # statement_timeout, pg_cancel_backend
    "57P01": SHUTDOWN,  # also pg_terminate_backend
    "57P02": SHUTDOWN,  # another session crashed
    "57P03": SHUTDOWN,  # starting, or in recovery
    "57P04": LOST,  # the database was dropped, as before a restore
    "57P05": LOST,  # idle_session_timeout
    "58000": Outage(Reason.STORAGE_FAILS),
    "58030": Outage(Reason.STORAGE_FAILS),  # an I/O error below PostgreSQL
}

# A connection that could not be opened has no SQLSTATE, only the text of the server or of libpq. If the
# server does not write English, the reason is CONNECTION_LOST.
REASONS_OF_NO_CONNECTION = (
    ("too many", Reason.TOO_MANY_CONNECTIONS),
    ("remaining connection slots", Reason.TOO_MANY_CONNECTIONS),
    ("shutting down", Reason.SHUTTING_DOWN),
    ("starting up", Reason.SHUTTING_DOWN),
    ("not yet accepting connections", Reason.SHUTTING_DOWN),
    ("in recovery mode", Reason.SHUTTING_DOWN),
    ("session is read-only", Reason.READ_ONLY),  # target_session_attrs=read-write
    ("server is in hot standby mode", Reason.READ_ONLY),  # target_session_attrs=primary
)
NO_CONNECTION = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


def outage_of(error: BaseException | None) -> Outage | None:
    """Returns the outage behind `error`, or None for a fault of Amani.

    `error` may be an exception of Django or psycopg, or one that was raised from one of them.
    """
    without_state = None
    for cause in causes(error):
        state = getattr(cause, "sqlstate", None)
        if isinstance(state, str):
            return OUTAGES.get(state) or OUTAGES.get(state[:2])
        if isinstance(cause, NO_CONNECTION):
            without_state = cause
    return None if without_state is None else LOST._replace(reason=reason_of_no_connection(without_state))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields `error`, the exception that it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def reason_of_no_connection(error: BaseException) -> Reason:
    """Returns why no connection could be opened, from the text of `error`."""
    text = str(error)
    for words, reason in REASONS_OF_NO_CONNECTION:
        if words in text:
            return reason
    return Reason.CONNECTION_LOST


def is_outage(error: BaseException | None) -> bool:
    """Whether the same statement will work when the outage is over."""
    return outage_of(error) is not None
