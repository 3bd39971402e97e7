"""The trail of a thread, and the shapes of statements."""

import logging
import threading
from typing import Any

import pytest

from observability.telemetry.errors.trail import SIZE, TEXT_LIMIT, Trail, cut, level_of, shape


def run(trail: Trail, sql: Any, at: float, seconds: float = 0.5) -> None:
    """As the execute wrapper does."""
    trail.statements[trail.count % SIZE] = (sql, at, seconds)
    trail.count += 1


def test_statements_and_crumbs_are_one_list_in_order_of_time() -> None:
    trail = Trail()
    trail.add("second", at=2.0)
    run(trail, "SELECT 1", at=3.0)
    run(trail, "SELECT a", at=1.0)
    assert [crumb.message for crumb in trail.leading_here()] == ["SELECT a", "second", "SELECT ?"]
    assert trail.leading_here()[0].data == {"duration_ms": 500.0}


def test_what_an_earlier_request_did_is_not_shown() -> None:
    trail = Trail()
    run(trail, "SELECT old", at=1.0)
    trail.add("old", at=1.0)
    trail.began = 2.0
    run(trail, "SELECT new", at=2.0)
    trail.add("new", at=2.5)
    assert [crumb.message for crumb in trail.leading_here()] == ["SELECT new", "new"]


def test_the_last_statements_are_kept_oldest_first() -> None:
    trail = Trail()
    for number in range(SIZE + 3):
        run(trail, f"SELECT column_{number}", at=float(number))
    kept = [sql for sql, _, _ in trail.recent_statements()]
    assert kept == [f"SELECT column_{number}" for number in range(3, SIZE + 3)]


def test_only_the_last_crumbs_are_kept() -> None:
    trail = Trail()
    for number in range(SIZE + 3):
        trail.add(str(number))
    assert [crumb.message for crumb in trail.leading_here()] == [str(n) for n in range(3, SIZE + 3)]


def test_each_thread_has_its_own_trail() -> None:
    trail = Trail()
    trail.add("mine")
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(len(trail.leading_here())))
    thread.start()
    thread.join()
    assert seen == [0]
    assert len(trail.leading_here()) == 1


def test_data_are_copies_and_short() -> None:
    class Costly:
        def __repr__(self) -> str:
            raise AssertionError("nobody asked for this")

    trail = Trail()
    trail.add("x" * 1000, data={"a": 1, "b": "y" * 1000, "c": Costly(), "d": None, "e": [1, 2]})
    crumb = trail.leading_here()[0]
    assert crumb.message == "x" * TEXT_LIMIT
    assert crumb.data == {"a": 1, "b": "y" * 200, "c": "<Costly>", "d": None, "e": "<list>"}


def test_a_log_line_is_a_crumb_with_its_fields() -> None:
    trail = Trail()
    plain = logging.LogRecord("some.module", logging.WARNING, "", 0, "%s left", ("one",), None)
    trail.add_record(plain)
    fields: Any = {"event": "sent", "channel": "slack", "_record": plain}
    trail.add_record(logging.LogRecord("other", logging.INFO, "", 0, fields, None, None))
    first, second = trail.leading_here()
    assert (first.message, first.category, first.level, first.kind) == (
        "one left",
        "some.module",
        "warning",
        "log",
    )
    assert (second.message, second.data) == ("sent", {"channel": "slack"})


@pytest.mark.parametrize(("number", "word"), [(50, "fatal"), (40, "error"), (10, "debug"), (5, "debug")])
def test_levels_have_sentrys_names(number: int, word: str) -> None:
    assert level_of(logging.LogRecord("a", number, "", 0, "m", None, None)) == word


def test_a_forked_child_begins_with_an_empty_trail() -> None:
    trail = Trail()
    run(trail, "SELECT 1", at=1.0)
    trail.forget()
    assert trail.leading_here() == []


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM a WHERE b = 'secret' AND c = 12", "SELECT * FROM a WHERE b = ? AND c = ?"),
        ("SELECT 'it''s' , 'x'", "SELECT ? , ?"),
        (r"SELECT E'a\'b', 'c:\', 'd'", "SELECT ?, ?, ?"),
        ('SELECT "t"."c1", "we""ird 7" FROM "t"', 'SELECT "t"."c1", "we""ird 7" FROM "t"'),
        ("SELECT $$ body 'x' $$, $tag$ a $$ b $tag$, 1", "SELECT ?, ?, ?"),
        ("SELECT $1, %s, %(name)s", "SELECT $1, %s, %(name)s"),
        ("SELECT a -- user 7\nFROM b /* trace 'x' */ c", "SELECT a FROM b c"),
        ("SELECT 1.5, -2e10, 0xFF, t1.c2, u0", "SELECT ?, -?, ?, t1.c2, u0"),
        ("SELECT 'never ends", "SELECT ?"),
        ("SELECT E'never ends\\", "SELECT ?"),
        ("SELECT $$never ends", "SELECT ?"),
        (b"SELECT 5", "SELECT ?"),
        (object(), "<object>"),
    ],
)
def test_a_statements_shape_has_no_values(sql: Any, expected: str) -> None:
    assert shape(sql) == expected


def test_the_shape_of_a_huge_statement_is_short_and_quick_to_make() -> None:
    hostile = "SELECT '" + "''\\" * 2_000_000
    assert shape(hostile) == "SELECT ?"
    assert len(shape("SELECT " + "column, " * 1_000_000)) == TEXT_LIMIT


def test_a_cut_leaves_no_half_of_a_number() -> None:
    text = "x" * (TEXT_LIMIT - 10) + " 4111 1111 1111 1111"
    assert cut(text, TEXT_LIMIT) == "x" * (TEXT_LIMIT - 10)
    assert cut("paid 4111", TEXT_LIMIT) == "paid 4111"
