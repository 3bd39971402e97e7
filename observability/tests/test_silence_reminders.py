"""The reminder before a silence ends: one message in Slack for each end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from observability.alerts.delivery import drain
from observability.models import Episode, Silence
from observability.silences import reminders, services, work
from observability.silences.matchers import Matcher
from observability.tests.fake_alertmanager import FakeAlertmanager
from observability.tests.vendors import Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]


@pytest.fixture
def row(operator: Callable[..., Any], alertmanager: FakeAlertmanager) -> Silence:
    """A silence of four hours that is set."""
    silence = services.create(
        actor=operator("responder"),
        matchers=[Matcher("alertname", "=", "DiskFull")],
        reason="New disks",
        ends_at=timezone.now() + timedelta(hours=4),
    )
    work.run_due()
    silence.refresh_from_db()
    return silence


def at(row: Silence, before: timedelta) -> int:
    return reminders.remind_of_ends(row.ends_at - before)


def test_half_an_hour_before_its_end_slack_is_told_once(row: Silence, slack: Vendor) -> None:
    assert at(row, timedelta(minutes=31)) == 0
    assert at(row, timedelta(minutes=29)) == 1
    assert at(row, timedelta(minutes=28)) == 0
    drain("slack")
    (message,) = slack.bodies()
    assert f"Silence {row.pk} of" in str(message)
    assert "ends in 29 min. It hides 0 alert(s) now." in str(message)
    assert Episode.objects.get().status == "notice"
    assert list(row.events.values_list("kind", flat=True)) == ["created", "set", "reminded"]


def test_another_end_has_a_reminder_of_its_own(row: Silence) -> None:
    assert at(row, timedelta(minutes=29)) == 1
    later = row.ends_at + timedelta(hours=2)
    services.extend(silence_id=row.pk, actor=row.owner, ends_at=later, reason="Longer.")  # type: ignore[arg-type]  # it has one
    work.run_due()
    row.refresh_from_db()
    assert at(row, timedelta(minutes=60)) == 0
    assert at(row, timedelta(minutes=10)) == 1


def test_a_short_silence_is_reminded_of_after_half_its_time(row: Silence) -> None:
    Silence.objects.update(starts_at=row.ends_at - timedelta(minutes=20))
    assert at(row, timedelta(minutes=15)) == 0
    assert at(row, timedelta(minutes=9)) == 1


def test_no_reminder_of_an_expired_silence_or_without_the_setting(row: Silence, settings: Any) -> None:
    settings.SILENCE_REMINDER_MINUTES = 0
    assert at(row, timedelta(minutes=5)) == 0
    settings.SILENCE_REMINDER_MINUTES = 30
    Silence.objects.update(state="expired")
    assert at(row, timedelta(minutes=5)) == 0
