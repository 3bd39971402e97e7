"""Recurring silences: when they occur, also where the clock changes, and one silence for each occurrence."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from observability.models import Silence, SilenceWindow
from observability.silences import watch, windows, work
from observability.silences.errors import BadSilence, CannotChangeSilence
from observability.silences.matchers import Matcher
from observability.tests.fake_alertmanager import FakeAlertmanager

pytestmark = pytest.mark.django_db(transaction=True)
EVERY_DAY = list(range(7))
DISK = [Matcher("alertname", "=", "DiskFull")]


def occurrence(zone: str, day: date, begins: str, ends: str) -> tuple[str, str] | None:
    """The occurrence of this day in UTC."""
    window = SilenceWindow(
        weekdays=EVERY_DAY, begins=time.fromisoformat(begins), ends=time.fromisoformat(ends)
    )
    found = windows.occurrence_of(window, day, ZoneInfo(zone))
    return found and (f"{found.starts_at:%d %H:%M:%S}", f"{found.ends_at:%d %H:%M:%S}")


SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)  # in Berlin: 02:00 to 03:00 is skipped, then repeated


@pytest.mark.parametrize(
    ("zone", "day", "begins", "ends", "expected"),
    [
        ("Africa/Lagos", date(2026, 7, 1), "22:00", "06:00", ("01 21:00:00", "02 05:00:00")),
        ("Europe/Berlin", date(2026, 1, 15), "02:00", "04:00", ("15 01:00:00", "15 03:00:00")),
        ("Europe/Berlin", date(2026, 7, 15), "02:00", "04:00", ("15 00:00:00", "15 02:00:00")),
        # Spring: what is skipped is taken to be the jump, at 01:00 UTC.
        ("Europe/Berlin", SPRING, "01:30", "02:30", ("29 00:30:00", "29 01:00:00")),
        ("Europe/Berlin", SPRING, "02:30", "04:00", ("29 01:00:00", "29 02:00:00")),
        ("Europe/Berlin", SPRING, "02:15", "02:45", None),
        ("Europe/Berlin", SPRING - timedelta(days=1), "22:00", "06:00", ("28 21:00:00", "29 04:00:00")),
        # Autumn: from the first time that the clock shows the beginning to the last that it shows the end.
        ("Europe/Berlin", AUTUMN, "02:15", "02:45", ("25 00:15:00", "25 01:45:00")),
        ("Europe/Berlin", AUTUMN, "01:00", "02:30", ("24 23:00:00", "25 01:30:00")),
        ("Europe/Berlin", AUTUMN - timedelta(days=1), "22:00", "06:00", ("24 20:00:00", "25 05:00:00")),
        # A jump of half an hour, and a whole day that was skipped (Samoa, 30 December 2011).
        ("Australia/Lord_Howe", date(2026, 10, 4), "02:10", "03:00", ("03 15:30:00", "03 16:00:00")),
        ("Pacific/Apia", date(2011, 12, 30), "10:00", "11:00", None),
        ("UTC", date(2026, 1, 1), "00:00", "00:00", ("01 00:00:00", "02 00:00:00")),
    ],
)
def test_an_occurrence_is_on_the_clock_of_its_zone(
    zone: str, day: date, begins: str, ends: str, expected: tuple[str, str] | None
) -> None:
    assert occurrence(zone, day, begins, ends) == expected


def test_only_its_weekdays_between_its_first_and_last_day_occur() -> None:
    window = SilenceWindow(
        weekdays=[0, 4],
        begins=time(22),
        ends=time(6),
        time_zone="Africa/Lagos",
        first_on=date(2026, 7, 3),
        last_on=date(2026, 7, 13),
    )
    since, until = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)
    days = [each.day.isoformat() for each in windows.occurrences(window, since, until)]
    assert days == ["2026-07-03", "2026-07-06", "2026-07-10", "2026-07-13"]


@pytest.fixture
def window(operator: Callable[..., Any], alertmanager: FakeAlertmanager) -> SilenceWindow:
    """Runs now, from an hour ago to in an hour, and every day."""
    now = timezone.now()
    return windows.create(
        actor=operator("responder"),
        matchers=DISK,
        reason="Backups",
        time_zone="UTC",
        weekdays=EVERY_DAY,
        begins=(now - timedelta(hours=1)).time().replace(microsecond=0),
        ends=(now + timedelta(hours=1)).time().replace(microsecond=0),
        first_on=now.date() - timedelta(days=1),
        last_on=now.date() + timedelta(days=30),
    )


def test_running_and_coming_occurrences_are_set_once_in_alertmanager(
    window: SilenceWindow, alertmanager: FakeAlertmanager
) -> None:
    assert windows.plan(timezone.now()) == 2
    assert windows.plan(timezone.now()) == 0
    work.run_due()
    running, coming = Silence.objects.order_by("starts_at")
    assert [each.state for each in (running, coming)] == ["active", "active"]
    assert len(alertmanager.silences) == 2
    assert coming.starts_at > timezone.now() + timedelta(hours=22)
    assert running.owner == window.owner


def test_two_workers_that_race_and_one_that_is_killed_leave_one_silence_for_each_occurrence(
    window: SilenceWindow, alertmanager: FakeAlertmanager
) -> None:
    barrier = threading.Barrier(3)

    def run() -> None:
        barrier.wait()
        windows.plan(timezone.now())
        connection.close()

    workers = [threading.Thread(target=run) for _ in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert Silence.objects.count() == 2
    killed = work.claim()
    assert killed is not None
    work.applied(killed.row, timezone.now())  # set in Alertmanager, then killed
    Silence.objects.exclude(lease_until=None).update(lease_until=timezone.now() - timedelta(seconds=1))
    windows.plan(timezone.now())
    work.run_due()
    assert len(alertmanager.silences) == 2
    assert set(Silence.objects.values_list("state", flat=True)) == {"active"}


def test_an_occurrence_that_began_while_amani_was_away_is_set_for_the_rest(
    window: SilenceWindow, alertmanager: FakeAlertmanager
) -> None:
    alertmanager.answers = False
    watch.watch()
    work.run_due()
    assert set(Silence.objects.values_list("state", flat=True)) == {"wanted"}
    alertmanager.answers = True
    Silence.objects.update(next_attempt_at=timezone.now())
    work.run_due()
    assert len(alertmanager.alive()) == 2


def test_an_ended_window_expires_what_is_set_and_sets_nothing_more(
    window: SilenceWindow, alertmanager: FakeAlertmanager
) -> None:
    windows.plan(timezone.now())
    work.run_due()
    windows.end(window_id=window.pk, actor=window.owner, reason="No more backups.")
    work.run_due()
    assert windows.plan(timezone.now()) == 0
    assert alertmanager.alive() == []
    assert set(Silence.objects.values_list("state", flat=True)) == {"expired"}
    with pytest.raises(CannotChangeSilence):
        windows.end(window_id=window.pk, actor=window.owner, reason="Again.")


def test_an_occurrence_that_was_expired_is_not_set_again(
    window: SilenceWindow, alertmanager: FakeAlertmanager
) -> None:
    windows.plan(timezone.now())
    work.run_due()
    for there in alertmanager.silences.values():
        there["endsAt"] = timezone.now().isoformat()
    watch.watch()
    work.run_due()
    assert alertmanager.alive() == []


WISH = {
    "matchers": 'alertname="DiskFull"',
    "weekdays": ["0", "1", "2", "3", "4", "5", "6"],
    "begins": "22:00",
    "ends": "06:00",
    "time_zone": "Europe/Berlin",
    "first_on": "2026-01-01",
    "last_on": "2026-12-31",
    "reason": "Backups",
}


def dated(**changes: Any) -> dict[str, Any]:
    today = timezone.now().date()
    return WISH | {"first_on": str(today), "last_on": str(today + timedelta(days=60))} | changes


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"time_zone": "Berlin"}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"weekdays": []}, "weekdays"),
        ({"last_on": "2020-01-01"}, "last_on"),
        ({"last_on": "2999-01-01"}, "last_on"),
        ({"reason": ""}, "reason"),
        ({"matchers": "x"}, "matchers"),
    ],
)
def test_a_wrong_field_of_a_window_says_so(
    sign_in: Callable[..., Client], alertmanager: FakeAlertmanager, changes: dict[str, Any], field: str
) -> None:
    page = sign_in("responder").post(
        "/admin/observability/silencewindow/new/", dated(**changes, confirmed="yes")
    )
    assert list(page.context["form"].errors) == [field]
    assert not SilenceWindow.objects.exists()


def test_a_window_is_previewed_stored_and_ended_on_its_pages(
    sign_in: Callable[..., Client], alertmanager: FakeAlertmanager
) -> None:
    client = sign_in("responder")
    new = "/admin/observability/silencewindow/new/"
    confirm = client.post(new, dated())
    assert len(confirm.context["upcoming"]) == 10
    assert "every day 22:00 to 06:00 Europe/Berlin" in confirm.content.decode()
    client.post(new, dated(confirmed="yes"))
    window = SilenceWindow.objects.get()
    assert (window.owner.email, window.weekdays) == ("responder@example.com", EVERY_DAY)
    page = f"/admin/observability/silencewindow/{window.pk}/"
    assert client.get(f"{page}change/").status_code == 200
    assert client.get("/admin/observability/silencewindow/").status_code == 200
    client.post(f"{page}end/", {"reason": "Over."})
    window.refresh_from_db()
    assert (window.ended_reason, window.ended_by) == ("Over.", window.owner)


def test_a_window_without_an_occurrence_ahead_is_refused(window: SilenceWindow) -> None:
    with pytest.raises(BadSilence, match="never begin"):
        windows.create(
            actor=window.owner,
            matchers=DISK,
            reason="Past",
            time_zone="UTC",
            weekdays=EVERY_DAY,
            begins=time(1),
            ends=time(2),
            first_on=date(2020, 1, 1),
            last_on=date(2020, 2, 1),
        )
