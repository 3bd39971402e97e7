"""What an error of the database means: an outage that will pass, or a fault of Amani.

One table of SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html) decides for web,
worker and commands. What it does not name is a fault. Nothing here asks the database or the settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

import psycopg
from django.db import InterfaceError, OperationalError


class Reason(StrEnum):
    """Why the database does not do what it was asked; also a label of metrics and a field of log lines."""

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


WORDS = {
    Reason.READ_ONLY: "refuses writes: it is read-only or a standby",
    Reason.CONNECTION_LOST: "cannot be reached, or ended the connection",
    Reason.SHUTTING_DOWN: "is shutting down or starting",
    Reason.TOO_MANY_CONNECTIONS: "has no connection left",
    Reason.DISK_FULL: "has no disk space left",
    Reason.OUT_OF_MEMORY: "has no memory left",
    Reason.LIMIT_REACHED: "has reached a limit of its configuration",
    Reason.STORAGE_FAILS: "cannot read or write its files",
    Reason.TIMED_OUT: "took longer than its statement timeout, or somebody canceled the statement",
    Reason.LOCKED: "waited too long for a lock",
    Reason.CONFLICT: "ended this transaction in favour of another",
}


class Outage(NamedTuple):
    """`ends_connection`: this connection will go on refusing, a new one may not."""

    reason: Reason
    ends_connection: bool = False


LOST = Outage(Reason.CONNECTION_LOST, ends_connection=True)
SHUTDOWN = Outage(Reason.SHUTTING_DOWN, ends_connection=True)
CONFLICT = Outage(Reason.CONFLICT)

# By SQLSTATE, or by its first two characters for all others of the class.
OUTAGES: dict[str, Outage] = {
    "08": LOST,  # connection exceptions; PgBouncer answers 08P01 when it has no server to give
    "25006": Outage(Reason.READ_ONLY, ends_connection=True),  # a session keeps what was true when it began
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

# A connection that was never made has no SQLSTATE, only the text of the server or of libpq. Where the server
# speaks another language than English, the reason is CONNECTION_LOST.
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
    """What the database's error behind `error` means for who asked; None for a fault of Amani's own.

    `error` may be Django's, psycopg's, or one that was raised from one of them.
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
    """`error`, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def reason_of_no_connection(error: BaseException) -> Reason:
    text = str(error)
    for words, reason in REASONS_OF_NO_CONNECTION:
        if words in text:
            return reason
    return Reason.CONNECTION_LOST


def is_outage(error: BaseException | None) -> bool:
    """Whether the same will work once the database is well."""
    return outage_of(error) is not None
