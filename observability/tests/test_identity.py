"""An alert is identified by its fingerprint: the result of each order of starts and resolves."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from observability.alerts.delivery import drain
from observability.models import Delivery, Episode, Receipt
from observability.tests.payloads import alert
from observability.tests.vendors import Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels")]
Post = Callable[..., Any]

T0 = "2026-11-23T02:30:00+00:00"
T1 = "2026-11-23T03:00:00+00:00"
T2 = "2026-11-23T03:05:00+00:00"
END = "2026-11-23T03:10:00+00:00"  # of a resolved alert, unless a test says otherwise
T3 = "2026-11-23T03:20:00+00:00"
END3 = "2026-11-23T03:30:00+00:00"


@pytest.fixture
def fires(post_alerts: Post) -> Callable[..., Any]:
    return lambda start, **changes: post_alerts(alert(1, startsAt=start, **changes)).json()


@pytest.fixture
def resolves(post_alerts: Post) -> Callable[..., Any]:
    def post(start: str, end: str = END) -> Any:
        return post_alerts(alert(1, status="resolved", startsAt=start, endsAt=end)).json()

    return post


def timeline(episode: Episode) -> list[tuple[str, str]]:
    return list(episode.events.values_list("kind", "text"))


def known() -> list[tuple[str, str, bool]]:
    """(status, start, is the newest) of each episode, oldest first."""
    rows = Episode.objects.order_by("starts_at").values_list("status", "starts_at", "is_latest")
    return [(status, start.isoformat(), is_latest) for status, start, is_latest in rows]


def pages(pagerduty: Vendor) -> list[tuple[str, str]]:
    drain("pagerduty")
    return [(event["event_action"], event["dedup_key"]) for event in pagerduty.bodies()]


def test_resolve_with_a_later_start_ends_the_episode_and_its_incident(
    fires: Any, resolves: Any, pagerduty: Vendor
) -> None:
    fires(T1)
    drain("pagerduty")
    fires(T2)
    resolves(T2)
    assert known() == [("resolved", T1, True)]
    key = f"amani-{1:016x}-{T1}"
    assert pages(pagerduty) == [("trigger", key), ("resolve", key)]


def test_later_start_continues_the_episode_is_in_the_timeline_and_sends_no_notification(
    fires: Any, pagerduty: Vendor
) -> None:
    fires(T1)
    assert fires(T2)["stored"] == 1
    [episode] = Episode.objects.all()
    assert timeline(episode) == [("fired", ""), ("restarted", "Start: 2026-11-23 03:05:00 UTC.")]
    assert Delivery.objects.count() == 2
    assert [action for action, _ in pages(pagerduty)] == ["trigger"]


def test_earlier_start_of_a_second_replica_is_kept_and_the_key_stays(
    fires: Any, resolves: Any, pagerduty: Vendor
) -> None:
    fires(T2)
    drain("pagerduty")
    fires(T1)
    [episode] = Episode.objects.all()
    assert (
        episode.starts_at.isoformat(),
        episode.latest_start_at and episode.latest_start_at.isoformat(),
    ) == (
        T1,
        T2,
    )
    assert timeline(episode) == [("fired", ""), ("restarted", "Start: 2026-11-23 03:00:00 UTC.")]
    resolves(T1)
    key = f"amani-{1:016x}-{T2}"
    assert pages(pagerduty) == [("trigger", key), ("resolve", key)]


def test_repeats_of_both_starts_change_nothing(fires: Any) -> None:
    fires(T1)
    fires(T2)
    before = (Episode.objects.values().get(), Delivery.objects.count())
    for start in (T1, T2, T2, T1, T1, T2):
        assert fires(start)["stored"] == 0
    assert (Episode.objects.values().get(), Delivery.objects.count()) == before
    assert Episode.objects.get().events.count() == 2


def test_resolve_that_ended_before_the_episode_began_changes_nothing(fires: Any, resolves: Any) -> None:
    fires(T3)
    assert resolves(T1)["stored"] == 0
    assert known() == [("firing", T3, True)]


def test_resolve_that_ends_between_two_starts_leaves_the_later_one_firing(fires: Any, resolves: Any) -> None:
    """The alert fired, ended and fired again; the snapshots came in another order."""
    fires(T3)
    fires(T1)
    assert resolves(T1, END)["stored"] == 0
    assert known() == [("firing", T1, True)]
    assert resolves(T3, END3)["stored"] == 1
    assert known() == [("resolved", T1, True)]


@pytest.mark.parametrize("end", [T3, END3, "0001-01-01T00:00:00Z", "garbage"])
def test_resolve_ends_the_episode_unless_its_end_is_before_the_start(
    fires: Any, resolves: Any, end: str
) -> None:
    fires(T3)
    assert resolves(T1, end)["stored"] == 1
    assert known() == [("resolved", T3, True)]


def test_resolve_of_the_very_start_ends_the_episode_whatever_its_end_says(fires: Any, resolves: Any) -> None:
    fires(T3)
    assert resolves(T3, T1)["stored"] == 1
    assert known() == [("resolved", T3, True)]


def test_alert_that_fires_again_after_its_resolve_is_another_episode_with_its_own_page(
    fires: Any, resolves: Any, pagerduty: Vendor
) -> None:
    fires(T1)
    drain("pagerduty")
    resolves(T1)
    drain("pagerduty")
    fires(T3)
    assert known() == [("resolved", T1, False), ("firing", T3, True)]
    first, second = f"amani-{1:016x}-{T1}", f"amani-{1:016x}-{T3}"
    assert pages(pagerduty) == [("trigger", first), ("resolve", first), ("trigger", second)]


def test_late_snapshots_of_the_episode_before_change_nothing(fires: Any, resolves: Any) -> None:
    fires(T1)
    resolves(T1)
    fires(T3)
    before = list(Episode.objects.order_by("pk").values())
    for _ in range(3):
        assert [fires(T1)["stored"], resolves(T1)["stored"], fires(T0)["stored"]] == [0, 0, 0]
    assert list(Episode.objects.order_by("pk").values()) == before


def test_firing_with_a_start_before_the_known_end_is_a_doubt_and_no_new_episode(
    fires: Any, resolves: Any
) -> None:
    fires(T1)
    resolves(T1)
    assert fires(T2)["stored"] == 0
    [episode] = Episode.objects.all()
    assert (episode.status, episode.refired_at is None) == ("resolved", False)


def test_new_start_after_the_end_settles_the_doubt_by_itself(fires: Any, resolves: Any) -> None:
    fires(T1)
    resolves(T1)
    fires(T1)
    fires(T3)
    assert known() == [("resolved", T1, False), ("firing", T3, True)]
    assert not Episode.objects.exclude(refired_at=None).exists()


def test_alert_that_was_never_seen_firing_is_kept_as_resolved(fires: Any, resolves: Any) -> None:
    assert resolves(T1)["stored"] == 1
    assert resolves(T1)["stored"] == 0
    assert resolves(T3, END3)["stored"] == 1
    assert known() == [("resolved", T1, False), ("resolved", T3, True)]


def test_two_starts_in_one_body_are_one_alert_and_the_other_is_shown_on_the_receipt(
    post_alerts: Post,
) -> None:
    answer = post_alerts(alert(1, startsAt=T3), alert(1, startsAt=T1, status="resolved")).json()
    assert (answer["stored"], answer["set_aside"]) == (1, 1)
    assert known() == [("firing", T3, True)]
    assert "the fingerprint of another alert in this body" in Receipt.objects.get().reason


def test_other_fingerprints_are_other_alerts(post_alerts: Post) -> None:
    post_alerts(alert(1, startsAt=T1), alert(2, startsAt=T2))
    post_alerts(alert(2, startsAt=T1, status="resolved"))
    assert known() == [("firing", T1, True), ("resolved", T2, True)]


def test_database_refuses_a_second_firing_episode_of_a_fingerprint(fires: Any) -> None:
    fires(T1)
    copy = Episode.objects.get()
    copy.pk, copy.starts_at, copy.is_latest = None, copy.starts_at.replace(minute=1), False
    with pytest.raises(
        IntegrityError, match=r"one_firing_episode_per_fingerprint|only_the_latest_episode_fires"
    ):
        copy.save()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'one_firing_episode_per_fingerprint'"
        )
        [definition] = cursor.fetchone()
    assert "UNIQUE" in definition
    assert "WHERE ((status)::text = 'firing'::text)" in definition


@pytest.mark.parametrize("change", [{"dedup_key": "other"}, {"starts_at": T3}, {"fingerprint": "other"}])
def test_database_refuses_another_key_a_later_start_and_another_fingerprint(
    fires: Any, change: dict[str, str]
) -> None:
    fires(T1)
    with pytest.raises(ProgrammingError, match="Cannot update rows"), transaction.atomic():
        Episode.objects.update(**change)
    assert known() == [("firing", T1, True)]
