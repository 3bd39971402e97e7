"""The waits between attempts. How rows are leased is tested with rows: accounts/mail/tests/test_claims.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from core.leases import Backoff, claims_within

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FOREVER = NOW + timedelta(days=999)
BACKOFF = Backoff(share=0.5, shortest_seconds=10, longest_seconds=3600)


@pytest.fixture
def jitter(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`jitter(share)` is what the next waits are multiplied with."""

    def use(share: float) -> None:
        monkeypatch.setattr("random.uniform", lambda least, most: min(max(share, least), most))

    return use


def wait_after(age_seconds: float, *, wish: float | None = None, until: datetime = FOREVER) -> float | None:
    since = NOW - timedelta(seconds=age_seconds)
    moment = BACKOFF.next_attempt(since=since, now=NOW, until=until, wish_seconds=wish)
    return None if moment is None else (moment - NOW).total_seconds()


@pytest.mark.parametrize(
    ("age_seconds", "wait_seconds"), [(0, 10), (20, 10), (22, 11), (7200, 3600), (90_000, 3600)]
)
def test_a_wait_is_a_share_of_the_age_within_its_bounds(
    age_seconds: float, wait_seconds: float, jitter: Callable[[float], None]
) -> None:
    jitter(1.0)
    assert wait_after(age_seconds) == wait_seconds


def test_jitter_takes_at_most_a_quarter_of_a_wait(jitter: Callable[[float], None]) -> None:
    jitter(0.0)
    assert wait_after(100) == 37.5
    jitter(2.0)
    assert wait_after(100) == 50


def test_a_wish_is_kept_when_it_is_longer_and_ignored_when_it_is_shorter(
    jitter: Callable[[float], None],
) -> None:
    jitter(1.0)
    assert wait_after(100, wish=300) == 300
    assert wait_after(100, wish=30) == 50


def test_without_a_wish_a_wait_is_as_short_as_its_bound(jitter: Callable[[float], None]) -> None:
    jitter(1.0)
    quick = Backoff(share=0.5, shortest_seconds=0.25, longest_seconds=60)
    assert quick.next_attempt(since=NOW, now=NOW, until=FOREVER) == NOW + timedelta(seconds=0.25)


def test_work_whose_next_attempt_would_be_too_late_is_given_up(jitter: Callable[[float], None]) -> None:
    jitter(1.0)
    assert wait_after(100, until=NOW + timedelta(seconds=50)) == 50
    assert wait_after(100, until=NOW + timedelta(seconds=49)) is None


@pytest.mark.parametrize(
    ("seconds", "claims"), [(60.0, [1, 2, 3]), (2.0, [1, 2]), (1.5, [1, 2]), (1.0, [1]), (0.0, [])]
)
def test_claims_come_until_there_is_none_or_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch, seconds: float, claims: list[int]
) -> None:
    clock, waiting = iter(range(-1, 60)), [1, 2, 3]  # a second passes with each claim
    ticking = SimpleNamespace(monotonic=lambda: float(max(next(clock), 0)))
    monkeypatch.setattr("core.leases.time", ticking)
    assert list(claims_within(seconds, lambda: waiting.pop(0) if waiting else None)) == claims
