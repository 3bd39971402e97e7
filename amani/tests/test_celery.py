"""What the worker does before it takes its first task."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, NotSupportedError, OperationalError, connection

from amani.celery import refuse_database_without_sessions
from core.pooling import NoSessions

pytestmark = pytest.mark.django_db(transaction=True)


def raising(error: Exception) -> Any:
    def require_sessions(_who: str) -> None:
        raise error

    return require_sessions


def test_children_do_not_inherit_a_connection() -> None:
    connection.ensure_connection()
    refuse_database_without_sessions()
    assert connection.connection is None


def test_a_database_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.pooling.require_sessions", raising(OperationalError("connection refused")))
    refuse_database_without_sessions()


@pytest.mark.parametrize("problem", [NoSessions("no session"), NotSupportedError("too old")])
def test_a_database_that_cannot_serve_ends_the_worker(
    problem: NoSessions | DatabaseError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.pooling.require_sessions", raising(problem))
    with pytest.raises(SystemExit, match=str(problem)):
        refuse_database_without_sessions()
