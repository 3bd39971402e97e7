"""Episodes that an older version split are joined, and the database then holds them to one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

BEFORE = [("observability", "0005_episode_identity_columns")]
JOINED = [("observability", "0006_one_firing_episode_per_fingerprint")]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def old() -> Iterator[Any]:
    """The models as they were before the episodes are joined; afterwards everything is migrated again."""
    executor = MigrationExecutor(connection)
    yield executor.migrate(BEFORE).apps
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE observability_episode CASCADE")
    call_command("migrate", verbosity=0)


def joined() -> Any:
    executor = MigrationExecutor(connection)
    return executor.migrate(JOINED).apps.get_model("observability", "Episode")


def episode(apps: Any, fingerprint: str, minutes: int, ended: int | None = None, **changes: Any) -> Any:
    """An episode from `minutes` after noon to `ended` after noon, with its page in PagerDuty and Slack."""
    began = NOON + timedelta(minutes=minutes)
    end = NOON + timedelta(minutes=ended) if ended is not None else None
    row = apps.get_model("observability", "Episode").objects.create(
        **{
            "fingerprint": fingerprint,
            "starts_at": began,
            "status": "resolved" if end else "firing",
            "ends_at": end,
            "resolved_at": end,
            "severity": "critical",
            "alertname": "HighErrorRate",
            "dedup_key": f"amani-{fingerprint}-{minutes}",
            "first_seen_at": began,
        }
        | changes
    )
    for channel in ("slack", "pagerduty"):
        apps.get_model("observability", "Delivery").objects.create(
            episode=row, channel=channel, kind="trigger", severity="critical", priority=0, state="delivered"
        )
    return row


def rows(model: Any, fingerprint: str) -> list[tuple[int, str, bool]]:
    """(minutes after noon, status, is the newest) of each episode."""
    found = model.objects.filter(fingerprint=fingerprint).order_by("starts_at")
    return [((row.starts_at - NOON).seconds // 60, row.status, row.is_latest) for row in found]


def resolves(model: Any, fingerprint: str) -> list[tuple[str, str]]:
    """(key, channel) of each resolve that is planned."""
    planned = model._meta.apps.get_model("observability", "Delivery").objects.filter(
        episode__fingerprint=fingerprint, kind="resolve", state="pending"
    )
    return sorted(planned.values_list("episode__dedup_key", "channel"))


def make_split_history(old: Any) -> Any:
    """The user who acknowledged the second episode of "acknowledged"."""
    for minutes in (0, 5, 9):
        episode(old, "firing", minutes)
    episode(old, "forgotten", 0)
    episode(old, "forgotten", 5, ended=10)
    episode(old, "again", 0, ended=10)
    episode(old, "again", 20)
    user = old.get_model("accounts", "User").objects.create(email="ada@example.com")
    episode(old, "acknowledged", 0)
    episode(old, "acknowledged", 5, acknowledged_at=NOON, acknowledged_by=user)
    episode(old, "alone", 0)
    episode(old, "over", 0, ended=5)
    return user


def test_split_episodes_are_joined_and_the_incidents_of_the_others_are_closed(old: Any) -> None:
    user = make_split_history(old)
    model = joined()

    assert rows(model, "firing") == [(0, "firing", True), (5, "resolved", False), (9, "resolved", False)]
    assert resolves(model, "firing") == [("amani-firing-5", "pagerduty"), ("amani-firing-9", "pagerduty")]
    kept = model.objects.get(fingerprint="firing", is_latest=True)
    assert (kept.latest_start_at, kept.previous_end_at) == (NOON + timedelta(minutes=9), None)
    assert kept.events.filter(kind="restarted").count() == 2

    # Its resolve had come with the later start.
    assert rows(model, "forgotten") == [(0, "resolved", False), (5, "resolved", True)]
    assert resolves(model, "forgotten") == [("amani-forgotten-0", "pagerduty")]
    ended = model.objects.get(dedup_key="amani-forgotten-0")
    assert ended.ends_at == NOON + timedelta(minutes=10)

    assert rows(model, "again") == [(0, "resolved", False), (20, "firing", True)]
    again = model.objects.get(fingerprint="again", is_latest=True)
    assert again.previous_end_at == NOON + timedelta(minutes=10)

    kept = model.objects.get(fingerprint="acknowledged", status="firing")
    assert (kept.acknowledged_at, kept.acknowledged_by_id) == (NOON, user.pk)

    assert (rows(model, "alone"), rows(model, "over")) == ([(0, "firing", True)], [(0, "resolved", True)])
    assert [resolves(model, name) for name in ("again", "alone", "over")] == [[], [], []]

    # It can be undone, and done again with the same result. In the same test: each way back takes long.
    before = list(model.objects.order_by("pk").values("pk", "status", "is_latest", "ends_at"))
    MigrationExecutor(connection).migrate(BEFORE)
    again = joined().objects.order_by("pk").values("pk", "status", "is_latest", "ends_at")
    assert list(again) == before
