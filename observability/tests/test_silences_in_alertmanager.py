"""Silences in the real Alertmanager: set, extended, expired, recurring, and what they hide."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from django.db import connections
from django.utils import timezone

from observability.models import Episode, Silence
from observability.silences import services, watch, windows, work
from observability.silences.matchers import Matcher
from observability.tests.test_alertmanager_cluster import Member
from observability.tests.waiting import ANSWER_SECONDS, wait_until

pytestmark = [pytest.mark.needs("alertmanager"), pytest.mark.django_db(transaction=True)]
DISK = [Matcher("alertname", "=", "DiskFull"), Matcher("instance", "=~", "db-[0-9]+")]


@pytest.fixture
def real(
    free_port: Callable[[], int], binary: Callable[[str], str], tmp_path: Path, settings: Any
) -> Iterator[Member]:
    """An Alertmanager whose webhook leads nowhere: what Amani knows of it comes from its API."""
    nowhere = f"http://127.0.0.1:{free_port()}/"
    member = Member("one", binary("alertmanager"), free_port(), tmp_path / "one", nowhere)
    member.start()
    assert wait_until(member.is_ready)
    settings.ALERTMANAGER_URL = member.url
    yield member
    member.stop()
    os.close(member.output)


def silences(member: Member) -> list[dict[str, Any]]:
    found = requests.get(f"{member.url}/api/v2/silences", timeout=ANSWER_SECONDS).json()
    return [each for each in found if each["status"]["state"] != "expired"]


def look() -> None:
    watch.look(timezone.now())


def fires(member: Member) -> None:
    now = datetime.now(UTC)
    labels = {"alertname": "DiskFull", "severity": "critical", "instance": "db-1"}
    ends = (now + timedelta(hours=1)).isoformat()
    member.take([{"labels": labels, "startsAt": now.isoformat(), "endsAt": ends}])


def test_a_silence_is_set_extended_hides_an_alert_and_is_expired(
    real: Member, operator: Callable[..., Any]
) -> None:
    ada = operator("responder")
    ends_at = timezone.now() + timedelta(hours=1)
    row = services.create(actor=ada, matchers=DISK, reason="New disks", ends_at=ends_at)
    work.run_due()
    (there,) = silences(real)
    assert (there["createdBy"], there["status"]["state"]) == ("responder@example.com", "active")
    look()
    later = ends_at + timedelta(hours=2)
    services.extend(silence_id=row.pk, actor=ada, ends_at=later, reason="Longer")
    work.run_due()
    (extended,) = silences(real)
    assert extended["id"] == there["id"]
    assert abs(datetime.fromisoformat(extended["endsAt"]) - later) < timedelta(seconds=1)

    fires(real)

    def is_recorded() -> bool:
        look()
        return Episode.objects.exists()

    assert wait_until(is_recorded)
    episode = Episode.objects.get()
    assert (episode.status, episode.not_notified) == ("silenced", "silenced")
    assert [each.silence for each in episode.suppressions.all()] == [row]

    services.expire(silence_id=row.pk, actor=ada, reason="Done")
    work.run_due()
    assert silences(real) == []
    row.refresh_from_db()
    assert row.state == "expired"

    def is_let_go() -> bool:
        look()
        return episode.events.filter(kind="unsilenced").exists()

    assert wait_until(is_let_go)


def worker(dies_after_setting: bool) -> None:
    """Plans and sets what is due, in a process of its own."""
    connections.close_all()
    if dies_after_setting:
        work.record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # it dies
    windows.plan(timezone.now())
    work.run_due()


def test_an_occurrence_is_set_once_though_workers_race_and_one_is_killed(
    real: Member, operator: Callable[..., Any]
) -> None:
    now = timezone.now()
    windows.create(
        actor=operator("responder"),
        matchers=DISK,
        reason="Backups",
        time_zone="Africa/Lagos",
        weekdays=list(range(7)),
        begins=(now + timedelta(hours=2)).time().replace(microsecond=0),
        ends=(now + timedelta(hours=3)).time().replace(microsecond=0),
        first_on=now.date() - timedelta(days=1),
        last_on=now.date() + timedelta(days=30),
    )
    fork = multiprocessing.get_context("fork")
    assert exit_codes(fork.Process(target=worker, args=(True,))) == [-signal.SIGKILL]
    assert len(silences(real)) == 1, "It was set, and nothing was recorded."
    Silence.objects.update(lease_until=now)  # as it is after a minute
    assert exit_codes(*(fork.Process(target=worker, args=(False,)) for _ in range(2))) == [0, 0]
    look()
    work.run_due()
    (there,) = silences(real)
    row = Silence.objects.get()
    assert (row.state, row.alertmanager_id, there["status"]["state"]) == ("active", there["id"], "pending")


def exit_codes(*workers: Any) -> list[int]:
    connections.close_all()  # no process uses a connection of another one
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    return [each.exitcode for each in workers]
