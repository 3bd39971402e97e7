"""Which route decides about an alert: by severity, labels, and hours on the clock of a time zone."""

from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from observability.routes.deciding import Compiled, Decision, Hours, Matcher, Mismatch, Routes

pytestmark = pytest.mark.usefixtures("channels")

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)  # a Thursday
ALWAYS = Hours(frozenset(), None, None, ZoneInfo("UTC"))
WEEK = frozenset({1, 2, 3, 4, 5})


def route(number: int = 1, **changes: Any) -> Compiled:
    fields: dict[str, Any] = {
        "id": number,
        "name": f"route {number}",
        "is_on": True,
        "severities": frozenset(),
        "matchers": (),
        "hours": ALWAYS,
        "notifies": True,
        "channels": ("slack",),
    }
    return Compiled(**(fields | changes))


def decide(*found: Compiled, severity: str = "critical", **labels: str) -> Decision:
    return Routes(1, found).decide(severity, labels, NOON)


def test_without_routes_the_settings_decide() -> None:
    assert decide() == Decision(None, ("pagerduty", "slack"))
    assert decide(severity="info") == Decision(None, ())


def test_the_first_route_that_matches_decides_alone() -> None:
    silent = route(2, notifies=False, channels=())
    assert decide(route(1, severities=frozenset({"info"})), silent, route(3)) == Decision(2, ())
    assert decide(route(3), silent) == Decision(3, ("slack",))


@pytest.mark.parametrize(
    ("changes", "mismatch"),
    [
        ({}, None),
        ({"is_on": False}, Mismatch.IS_OFF),
        ({"severities": frozenset({"error"})}, Mismatch.SEVERITY),
        ({"matchers": (Matcher("team", False, frozenset({"core"})),)}, Mismatch.LABELS),
        ({"matchers": (Matcher("team", True, frozenset({"payments"})),)}, Mismatch.LABELS),
        ({"matchers": (Matcher("team", False, frozenset({"core", "payments"})),)}, None),
        ({"matchers": (Matcher("squad", True, frozenset({"core"})),)}, None),
        ({"hours": Hours(frozenset({6, 7}), None, None, ZoneInfo("UTC"))}, Mismatch.HOURS),
        ({"channels": ("pigeon",)}, Mismatch.NO_CHANNEL),
        ({"channels": ("pigeon", "slack")}, None),
    ],
)
def test_why_a_route_does_not_decide(changes: dict[str, Any], mismatch: Mismatch | None) -> None:
    assert route(**changes).mismatch("critical", {"team": "payments"}, NOON) is mismatch


def test_a_route_whose_channels_are_all_off_loses_no_alert(settings: Any) -> None:
    settings.SLACK_WEBHOOK_URL = ""
    assert decide(route()) == Decision(None, ("pagerduty", "slack"))


BERLIN = ZoneInfo("Europe/Berlin")
LAGOS = ZoneInfo("Africa/Lagos")  # an hour ahead of UTC, all year
OFFICE = Hours(WEEK, time(8), time(18), LAGOS)
NIGHT = Hours(frozenset({5}), time(22), time(6), LAGOS)  # Friday night
SMALL_HOURS = Hours(frozenset(), time(1), time(3), BERLIN)


@pytest.mark.parametrize(
    ("hours", "moment", "is_open"),
    [
        (OFFICE, "2026-11-26T06:59:59", False),
        (OFFICE, "2026-11-26T07:00:00", True),
        (OFFICE, "2026-11-26T16:59:59", True),
        (OFFICE, "2026-11-26T17:00:00", False),
        (OFFICE, "2026-11-28T12:00:00", False),  # Saturday
        (NIGHT, "2026-11-27T20:59:59", False),
        (NIGHT, "2026-11-27T21:00:00", True),
        (NIGHT, "2026-11-28T04:59:59", True),  # Saturday morning belongs to Friday night
        (NIGHT, "2026-11-28T05:00:00", False),
        (NIGHT, "2026-11-27T04:00:00", False),  # Friday morning belongs to Thursday night
        (Hours(frozenset({7}), None, None, LAGOS), "2026-11-28T23:00:00", True),  # Sunday in Lagos
        # The clock in Berlin goes from 02:00 to 03:00 on 2026-03-29, at 01:00 UTC.
        (SMALL_HOURS, "2026-03-29T00:59:59", True),
        (SMALL_HOURS, "2026-03-29T01:00:00", False),
        # It goes from 03:00 back to 02:00 on 2026-10-25, at 01:00 UTC: three hours in all.
        (SMALL_HOURS, "2026-10-24T23:00:00", True),
        (SMALL_HOURS, "2026-10-25T00:59:59", True),
        (SMALL_HOURS, "2026-10-25T01:59:59", True),
        (SMALL_HOURS, "2026-10-25T02:00:00", False),
        # 08:00 in Berlin is another hour of UTC in summer than in winter.
        (Hours(WEEK, time(8), time(9), BERLIN), "2026-03-27T07:00:00", True),
        (Hours(WEEK, time(8), time(9), BERLIN), "2026-03-30T06:00:00", True),
        (Hours(WEEK, time(8), time(9), BERLIN), "2026-03-30T07:00:00", False),
    ],
)
def test_hours_are_those_of_the_clock_in_the_time_zone(hours: Hours, moment: str, is_open: bool) -> None:
    assert hours.contain(datetime.fromisoformat(f"{moment}+00:00")) is is_open
