"""Fixtures of escrow's tests."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from escrow.ledger import counting

# As HORIZON, but of this database only. PostgreSQL's snapshot knows of the open transactions of all databases
# of a server, and those of the other processes of a test run would hold the check of the ledger up.
HORIZON = """
    SELECT (SELECT coalesce(max(id), 0) FROM ledger_entry), coalesce(
        (SELECT min(backend_xid::text::bigint) FROM pg_stat_activity WHERE datname = current_database()),
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    )
"""


@pytest.fixture(autouse=True)
def _other_databases_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "HORIZON", HORIZON)


@pytest.fixture(scope="module")
def as_the_application(application_url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """All tests of a file connect with the role of the application, which owns no table."""
    given, usual = psycopg.conninfo.conninfo_to_dict(application_url), dict(connection.settings_dict)
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict.update(USER=given["user"], PASSWORD=given["password"])
        yield
        connection.close()
        connection.settings_dict.update(usual)
