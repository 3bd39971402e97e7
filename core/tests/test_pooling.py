"""Which connections have a session of their own; tests/stack/test_pgbouncer.py asks a real PgBouncer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

import psycopg
import pytest
from django.db import connection

from core import pooling
from core.pooling import NoSessions, has_pooler, is_pooled_by_transaction, require_sessions

Sessions = Callable[[list[int | None]], bool]


@pytest.mark.django_db
def test_postgresql_itself_gives_each_connection_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_pooler(connection)
    require_sessions("migrate")

    monkeypatch.setattr(pooling, "has_pooler", lambda _: True)  # a pool whose clients keep their session
    assert not is_pooled_by_transaction(connection)
    require_sessions("migrate")


@pytest.mark.django_db
def test_without_a_pooler_no_connection_is_made_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psycopg.AsyncConnection, "connect", None)
    assert not is_pooled_by_transaction(connection)


@pytest.mark.django_db
def test_a_pool_without_a_session_to_spare_is_not_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(pooling, "has_pooler", lambda _: True)
    monkeypatch.setattr(pooling, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(psycopg.AsyncConnection, "connect", hang)
    assert not is_pooled_by_transaction(connection)


def test_the_setting_is_believed_without_a_question(settings: Any) -> None:
    settings.DATABASE_TRANSACTION_POOLING = True
    with pytest.raises(NoSessions, match=r"^DATABASE_TRANSACTION_POOLING is true. Beat needs a session"):
        require_sessions("Beat")


def test_a_pooler_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def is_pooled(one: Any) -> bool:
        asked.append(one.alias)
        return True

    monkeypatch.setattr(pooling, "is_pooled_by_transaction", is_pooled)
    with pytest.raises(NoSessions, match=r"^DATABASE_URL leads to a pooler .* Beat needs a session"):
        require_sessions("Beat")
    assert asked == ["default"]


@pytest.fixture
def share(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """`share(sessions)`: what is concluded when the questions are answered with these, in their order."""

    class Connected:
        async def __aenter__(self) -> Connected:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

    async def connect(**parameters: object) -> Connected:
        assert parameters == {"host": "pool", "autocommit": True}
        return Connected()

    def conclude(sessions: list[int | None]) -> bool:
        answers: Iterator[int | None] = iter(sessions)

        async def answer(_: object) -> int | None:
            return next(answers)

        monkeypatch.setattr(psycopg.AsyncConnection, "connect", connect)
        monkeypatch.setattr(pooling, "session_of", answer)
        return asyncio.run(pooling.share_sessions({"host": "pool"}))

    return conclude


@pytest.mark.parametrize(
    ("first", "pooled"),
    [
        pytest.param([7, 7, 7, 7], True, id="one session serves both"),
        pytest.param([7, 8, 8, 9], True, id="the first has two"),
        pytest.param([7, 8, 9, 7], True, id="the second has two"),
        pytest.param([7, 8, 8, 7], False, id="each has its own"),
    ],
)
def test_a_shared_session_is_found_in_the_first_round(
    share: Sessions, first: list[int | None], pooled: bool
) -> None:
    assert share(first + [7, 8, 8, 7] * (pooling.ROUNDS - 1)) is pooled


def test_it_is_found_also_in_the_last_round(share: Sessions) -> None:
    assert share([*[7, 8, 8, 7] * (pooling.ROUNDS - 1), 7, 8, 8, 8])


@pytest.mark.django_db
def test_the_session_is_the_one_that_postgresql_names() -> None:
    async def ask() -> tuple[int | None, int]:
        parameters = dict(connection.get_connection_params())
        parameters.pop("cursor_factory")
        async with await psycopg.AsyncConnection.connect(**parameters) as one:
            return await pooling.session_of(one), one.info.backend_pid

    said, known = asyncio.run(ask())
    assert said == known


@pytest.mark.parametrize(("served_by", "found"), [((7,), False), ((8,), True), (None, False)])
def test_a_pooler_names_another_process_than_the_one_that_serves(
    served_by: tuple[int] | None, found: bool
) -> None:
    wrapper = MagicMock()
    wrapper.connection.info.backend_pid = 7
    wrapper.cursor.return_value.__enter__.return_value.fetchone.return_value = served_by
    assert has_pooler(wrapper) is found
