import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from kyc.limits.windows import window_start
from kyc.models import LimitKind

LAGOS = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("kind", "at", "start"),
    [
        (LimitKind.DAILY, datetime(2026, 11, 30, 23, 59, tzinfo=UTC), date(2026, 11, 30)),
        (LimitKind.DAILY, datetime(2026, 12, 1, tzinfo=UTC), date(2026, 12, 1)),
        (LimitKind.DAILY, datetime(2026, 12, 1, 0, 59, tzinfo=LAGOS), date(2026, 11, 30)),
        (LimitKind.MONTHLY, datetime(2026, 11, 30, 23, 59, tzinfo=UTC), date(2026, 11, 1)),
        (LimitKind.MONTHLY, datetime(2026, 12, 1, 0, 59, tzinfo=LAGOS), date(2026, 11, 1)),
        (LimitKind.BALANCE, datetime(2026, 11, 30, tzinfo=UTC), date(1970, 1, 1)),
        (LimitKind.SINGLE, datetime(2026, 11, 30, tzinfo=UTC), date(1970, 1, 1)),
    ],
)
def test_window_begins_with_the_day_or_the_month_of_utc(kind: LimitKind, at: datetime, start: date) -> None:
    assert window_start(kind, at) == start


@pytest.fixture
def machine_in_lagos(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Africa/Lagos")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("machine_in_lagos")
def test_zone_of_the_machine_changes_no_window() -> None:
    assert window_start(LimitKind.DAILY, datetime(2026, 11, 30, 23, 59, tzinfo=UTC)) == date(2026, 11, 30)
