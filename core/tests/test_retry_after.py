from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from core.outgoing import seconds_to_wait
from core.outgoing.retry_after import header_of


def asked(header: str | None = None, body: str = "", name: str = "Retry-After") -> float | None:
    return seconds_to_wait({} if header is None else {name: header}, body)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        (" 2.5 ", 2.5),
        ("0", 1.0),
        ("-5", 1.0),
        ("86400", 3600.0),
        ("1e400", 3600.0),
        ("inf", 3600.0),
        ("-inf", 1.0),
        ("9" * 5000, 3600.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_header_is_bounded_from_a_second_to_an_hour(header: str | None, seconds: float | None) -> None:
    assert asked(header) == seconds


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_header_is_found_whatever_its_case(name: str) -> None:
    assert asked("7", name=name) == 7.0


def test_header_may_be_a_date() -> None:
    now = datetime.now(UTC)
    assert 900 <= (asked(format_datetime(now + timedelta(minutes=20), usegmt=True)) or 0) <= 1200
    assert asked(format_datetime(now - timedelta(days=1), usegmt=True)) == 1.0
    assert asked("Fri, 31 Dec 9999 23:59:59 GMT") == 3600.0


@pytest.mark.parametrize(("year", "seconds"), [("9999", 3600.0), ("2001", 1.0)])
def test_date_without_a_zone_is_in_utc(year: str, seconds: float) -> None:
    assert asked(f"1 Jan {year} 00:00:00 -0000") == seconds


def test_header_that_is_absent_is_empty() -> None:
    assert header_of({"Date": "today"}, "retry-after") == ""


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ('{"retry_after":1,"ok":false}', 1.0),
        ('{"retry_after":"12"}', 12.0),
        ('{"retry_after":1e999}', 3600.0),
        ('{"retry_after":NaN}', None),
        ('{"retry_after":true}', None),
        ('{"retry_after":[1]}', None),
        ("[1]", None),
        ("<html>", None),
        ("[" * 100_000, None),
    ],
)
def test_body_is_asked_when_there_is_no_header(body: str, seconds: float | None) -> None:
    assert asked(body=body) == seconds


def test_header_goes_before_the_body() -> None:
    assert asked("30", '{"retry_after":1}') == 30.0
    assert asked("soon", '{"retry_after":4}') == 4.0
