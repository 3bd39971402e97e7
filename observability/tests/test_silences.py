"""Silences: what operators ask for, what Alertmanager gets, and what the rows say about it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone

from observability.models import EpisodeEvent, Silence, SilenceEvent
from observability.silences import services, watch, work
from observability.silences.errors import BadSilence, CannotChangeSilence
from observability.silences.matchers import BadMatchers, Matcher
from observability.tests import history
from observability.tests.fake_alertmanager import FakeAlertmanager

pytestmark = pytest.mark.django_db(transaction=True)
DISK = [Matcher("alertname", "=", "DiskFull"), Matcher("instance", "=~", "db-.*")]
HOUR = timedelta(hours=1)


@pytest.fixture
def responder(operator: Callable[..., Any]) -> Any:
    user = operator("responder")
    user.full_name = "Ada Obi"
    user.save()
    return user


def silence(actor: Any, **changes: Any) -> Silence:
    wish: dict[str, Any] = {
        "actor": actor,
        "matchers": DISK,
        "reason": "The disk is being replaced.",
        "ends_at": timezone.now() + HOUR,
    }
    return services.create(**wish | changes)


def applied(actor: Any, **changes: Any) -> Silence:
    row = silence(actor, **changes)
    work.run_due()
    row.refresh_from_db()
    return row


def kinds(row: Silence) -> list[str]:
    return list(row.events.values_list("kind", flat=True))


def look() -> None:
    watch.look(timezone.now())


# --- Create, extend, expire ---


def test_a_silence_reaches_alertmanager_with_owner_and_reason(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    row = applied(responder)
    (there,) = alertmanager.alive()
    assert there["createdBy"] == "Ada Obi"
    assert there["comment"] == f"The disk is being replaced. (amani:{row.key})"
    assert there["matchers"] == [
        {"name": "alertname", "value": "DiskFull", "isRegex": False, "isEqual": True},
        {"name": "instance", "value": "db-.*", "isRegex": True, "isEqual": True},
    ]
    assert datetime.fromisoformat(there["endsAt"]) == row.ends_at
    assert (row.state, row.alertmanager_id, kinds(row)) == ("active", there["id"], ["created", "set"])


def test_another_end_keeps_the_silence_of_alertmanager(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    row = applied(responder)
    look()
    later = timezone.now() + 3 * HOUR
    services.extend(silence_id=row.pk, actor=responder, ends_at=later, reason="It takes longer.")
    work.run_due()
    (there,) = alertmanager.silences.values()
    assert datetime.fromisoformat(there["endsAt"]) == later
    row.refresh_from_db()
    assert (row.state, row.ends_at, row.alertmanager_id) == ("active", later, there["id"])
    assert kinds(row) == ["created", "set", "extended", "set"]
    assert row.events.filter(kind="extended").get().actor == responder


def test_an_expired_silence_is_expired_in_alertmanager(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    row = applied(responder)
    services.expire(silence_id=row.pk, actor=responder, reason="It is done.")
    work.run_due()
    row.refresh_from_db()
    assert alertmanager.alive() == []
    assert (row.state, kinds(row)) == ("expired", ["created", "set", "expire", "expired"])
    with pytest.raises(CannotChangeSilence):
        services.extend(silence_id=row.pk, actor=responder, ends_at=timezone.now() + HOUR, reason="Again.")


def test_what_operators_do_is_in_the_timeline_of_the_alert(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    episode = history.episode()
    row = applied(responder, episode_id=episode.pk)
    services.expire(silence_id=row.pk, actor=responder, reason="It is done.")
    work.run_due()
    told = EpisodeEvent.objects.filter(episode=episode).values_list("kind", "actor", "text")
    until = f"{row.ends_at.astimezone(UTC):%H:%M}"
    assert [(kind, actor) for kind, actor, _ in told] == [("silence", responder.pk)] * 2
    first, second = (text for _, _, text in told)
    assert first.startswith(f"Silence {row.pk} was created. Until ")
    assert until in first
    assert second == f"Silence {row.pk} is to be expired. It is done."


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reason": "  "}, "reason"),
        ({"ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, "ends_at"),
        ({"ends_at": datetime(2100, 1, 1, tzinfo=UTC)}, "ends_at"),
    ],
)
def test_a_silence_without_reason_or_with_an_unbounded_end_is_refused(
    responder: Any, alertmanager: FakeAlertmanager, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadSilence) as refused:
        silence(responder, **changes)
    assert list(refused.value.fields) == [field]
    assert not Silence.objects.exists()


def test_the_longest_silence_is_a_setting(
    responder: Any, alertmanager: FakeAlertmanager, settings: Any
) -> None:
    settings.SILENCE_MAX_DAYS = 2
    with pytest.raises(BadSilence, match="within 2 days"):
        silence(responder, ends_at=timezone.now() + timedelta(days=2, minutes=1))
    row = silence(responder, ends_at=timezone.now() + timedelta(days=1))
    with pytest.raises(BadSilence, match="within 2 days"):
        services.extend(
            silence_id=row.pk, actor=responder, ends_at=timezone.now() + timedelta(days=3), reason="More."
        )


def test_without_an_alertmanager_nothing_is_promised(responder: Any, settings: Any) -> None:
    settings.ALERTMANAGER_URL = ""
    with pytest.raises(BadSilence, match="ALERTMANAGER_URL"):
        silence(responder)


def test_the_database_keeps_a_silence_as_it_was_asked_for(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    row = silence(responder)
    with pytest.raises(ProgrammingError), transaction.atomic():
        Silence.objects.filter(pk=row.pk).update(created_by="Another")
    with pytest.raises(ProgrammingError), transaction.atomic():
        SilenceEvent.objects.update(text="Other")


# --- When Alertmanager or the worker fail ---


def test_while_alertmanager_is_away_the_wish_is_kept_and_says_why(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    alertmanager.answers = False
    row = applied(responder)
    assert (row.state, row.lease_until) == ("wanted", None)
    assert row.last_error == "Alertmanager answered 503: ok"
    alertmanager.answers = True
    Silence.objects.update(next_attempt_at=timezone.now())
    work.run_due()
    row.refresh_from_db()
    assert (row.state, row.last_error, len(alertmanager.alive())) == ("active", "", 1)


def test_a_silence_whose_answer_was_lost_is_found_and_not_set_twice(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    alertmanager.cut_after_post = True
    assert applied(responder).state == "wanted"
    alertmanager.cut_after_post = False
    Silence.objects.update(next_attempt_at=timezone.now())
    work.run_due()
    (there,) = alertmanager.silences.values()
    row = Silence.objects.get()
    assert (row.state, row.alertmanager_id) == ("active", there["id"])


def test_a_worker_that_was_killed_in_between_leaves_no_second_silence(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    row = silence(responder)
    killed = work.claim()
    assert killed is not None
    work.applied(killed.row, timezone.now())  # set, and killed before it could record that
    assert work.claim() is None, "It has a lease."
    Silence.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    work.run_due()
    row.refresh_from_db()
    assert (row.state, len(alertmanager.silences)) == ("active", 1)
    work.record(killed, work.Done(Silence.State.FAILED, "", SilenceEvent.Kind.FAILED))
    row.refresh_from_db()
    assert row.state == "active", "The late worker records nothing."


def test_several_workers_set_each_silence_once(responder: Any, alertmanager: FakeAlertmanager) -> None:
    for _ in range(6):
        silence(responder)

    def run() -> None:
        work.run_due()
        connection.close()

    workers = [threading.Thread(target=run) for _ in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    work.run_due()
    assert len(alertmanager.silences) == 6
    assert set(Silence.objects.values_list("state", flat=True)) == {"active"}


def test_what_alertmanager_refuses_has_failed_and_says_why(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    alertmanager.refuses = "invalid label name"
    row = applied(responder)
    assert (row.state, row.last_error) == ("failed", "Alertmanager answered 400: invalid label name")
    assert (row.next_attempt_at, kinds(row)) == (None, ["created", "failed"])


def test_an_end_that_is_refused_leaves_the_silence_with_its_old_end(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    row = applied(responder)
    before = row.ends_at
    alertmanager.refuses = "no"
    services.extend(silence_id=row.pk, actor=responder, ends_at=before + HOUR, reason="Longer.")
    work.run_due()
    alertmanager.refuses = ""
    look()
    row.refresh_from_db()
    assert (row.state, row.ends_at, row.last_error) == ("active", before, "Alertmanager answered 400: no")


def test_a_change_during_an_attempt_is_not_lost(responder: Any, alertmanager: FakeAlertmanager) -> None:
    row = silence(responder)
    claimed = work.claim()
    assert claimed is not None
    later = timezone.now() + 2 * HOUR
    services.extend(silence_id=row.pk, actor=responder, ends_at=later, reason="Longer.")
    work.attempt(claimed)
    work.run_due()
    (there,) = alertmanager.silences.values()
    row.refresh_from_db()
    assert (row.state, datetime.fromisoformat(there["endsAt"])) == ("active", later)


def test_a_wish_whose_time_is_over_has_failed(responder: Any, alertmanager: FakeAlertmanager) -> None:
    row = silence(responder)
    past = timezone.now() - HOUR
    Silence.objects.filter(pk=row.pk).update(starts_at=past - HOUR, ends_at=past)
    work.run_due()
    row.refresh_from_db()
    assert (row.state, alertmanager.silences) == ("failed", {})


# --- The watch ---


def test_a_silence_that_alertmanager_lost_is_set_again(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    row = applied(responder)
    alertmanager.silences.clear()
    look()
    work.run_due()
    row.refresh_from_db()
    assert (row.state, len(alertmanager.alive())) == ("active", 1)
    assert kinds(row) == ["created", "set", "lost", "set"]


def test_a_silence_that_was_expired_elsewhere_is_shown_so_and_not_set_again(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    row = applied(responder)
    alertmanager.silences[row.alertmanager_id]["endsAt"] = timezone.now().isoformat()
    look()
    work.run_due()
    row.refresh_from_db()
    assert (row.state, alertmanager.alive()) == ("expired", [])
    assert row.events.last().text == "Expired in Alertmanager."  # type: ignore[union-attr]  # there is one


def test_an_older_answer_changes_nothing(responder: Any, alertmanager: FakeAlertmanager) -> None:
    before = timezone.now()
    row = applied(responder)
    look()
    assert watch.observe([], before) is False
    row.refresh_from_db()
    assert row.state == "active"


def test_a_silence_made_with_amtool_is_shown_and_cannot_be_changed_here(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    there = alertmanager.add()
    look()
    look()
    row = Silence.objects.get()
    assert (row.alertmanager_id, row.created_by, row.reason) == (there, "amtool", "by hand")
    assert (row.state, row.owner) == ("active", None)
    with pytest.raises(CannotChangeSilence, match="outside of Amani"):
        services.expire(silence_id=row.pk, actor=responder, reason="No.")
    alertmanager.silences[there]["endsAt"] = timezone.now().isoformat()
    look()
    row.refresh_from_db()
    assert row.state == "expired"


def test_of_two_silences_of_one_row_one_is_expired(responder: Any, alertmanager: FakeAlertmanager) -> None:
    row = applied(responder)
    alertmanager.add(comment=f"late (amani:{row.key})", endsAt=row.ends_at.isoformat())
    look()
    work.run_due()
    (there,) = alertmanager.alive()
    assert there["id"] == row.alertmanager_id


def test_a_silence_that_a_late_request_set_after_its_end_is_expired(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    row = applied(responder)
    services.expire(silence_id=row.pk, actor=responder, reason="Done.")
    work.run_due()
    alertmanager.add(comment=f"late (amani:{row.key})")
    look()
    work.run_due()
    row.refresh_from_db()
    assert (row.state, alertmanager.alive()) == ("expired", [])


def test_a_silence_ends_by_its_time_also_while_alertmanager_is_away(
    responder: Any, alertmanager: FakeAlertmanager
) -> None:
    row = applied(responder)
    alertmanager.answers = False
    past = timezone.now() - timedelta(seconds=1)
    Silence.objects.filter(pk=row.pk).update(starts_at=past - HOUR, ends_at=past)
    watch.watch()
    row.refresh_from_db()
    assert row.state == "expired"


def test_matchers_that_silence_everything_are_refused(responder: Any, alertmanager: FakeAlertmanager) -> None:
    with pytest.raises(BadMatchers, match="all alerts"):
        silence(responder, matchers=[Matcher("alertname", "=~", ".*"), Matcher("job", "=", "")])
    assert not Silence.objects.exists()
