from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from core.console import display
from observability.alerts import badges
from observability.models import Attempt, Delivery, Episode, Receipt
from observability.notifiers import registry


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (119, "1 min"),
        (3_600, "1 h"),
        (3_660, "1 h 1 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (90_000, "1 d 1 h"),
        (8_640_000, "100 d"),
    ],
)
def test_duration_has_the_two_largest_units(seconds: float, text: str) -> None:
    assert display.duration(timedelta(seconds=seconds)) == text


def test_ago_knows_past_present_and_future() -> None:
    now = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
    assert display.ago(now - timedelta(minutes=5), now) == "5 min ago"
    assert display.ago(now + timedelta(milliseconds=900), now) == "now"
    assert display.ago(now + timedelta(seconds=20), now) == "in 20 s"


def test_clock_says_the_day_only_when_it_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert display.clock(now) == "03:00"
    assert display.clock(now, seconds=True) == "03:00:00"
    assert display.clock(now - timedelta(days=2)) == "21 Nov 03:00"
    assert display.clock(datetime(2025, 1, 2, 3, 4, tzinfo=UTC)) == "2025-01-02 03:04"


def test_every_state_has_a_text_a_symbol_and_a_colour() -> None:
    assert set(badges.STATUS_BADGES) == set(Episode.Status)
    assert set(badges.STATE_BADGES) == set(Delivery.State)
    assert set(badges.OUTCOME_BADGES) == set(Receipt.Outcome)
    assert set(badges.ATTEMPT_BADGES) == set(Attempt.Outcome.values)


def test_channel_has_the_name_people_know() -> None:
    assert [badges.channel_label(name) for name in registry.NOTIFIERS] == ["PagerDuty", "Slack"]
    assert badges.channel_label("fax") == "fax"
