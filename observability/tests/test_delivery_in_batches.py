"""A channel without pace is claimed in batches, and gives up nothing that single claims promise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from observability.alerts.delivery import drain
from observability.alerts.delivery.claim import Batch, begin, claim, claim_batch, is_anything_due
from observability.alerts.delivery.record import record
from observability.alerts.delivery.send import send
from observability.alerts.delivery.sender import MOST_IN_ONE_BATCH, free_abandoned, held_slot, send_batch
from observability.models import Attempt, Channel, Delivery
from observability.notifiers import registry
from observability.tests.payloads import alert
from observability.tests.vendors import Reply, Vendor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels", "warnings_page")]
Post = Callable[..., Any]
PAGERDUTY = registry.get("pagerduty")


@pytest.fixture
def warnings_page(settings: Any) -> None:
    settings.ALERT_ROUTES = settings.ALERT_ROUTES | {"warning": ("pagerduty",), "critical": ("pagerduty",)}


def warnings(*numbers: int, **changes: Any) -> list[dict[str, Any]]:
    return [alert(number, severity="warning", **changes) for number in numbers]


@pytest.fixture
def post_warnings(post_alerts: Post) -> Post:
    """One payload for each number, so that they are to be sent in this order."""

    def post(*numbers: int, **changes: Any) -> None:
        for number in numbers:
            post_alerts(*warnings(number, **changes))

    return post


def claimed(most: int = 10, slot: int = 0) -> Batch:
    batch = claim_batch(PAGERDUTY, slot, most)
    assert isinstance(batch, Batch)
    return batch


def received(pagerduty: Vendor) -> list[tuple[int, str]]:
    return [
        (int(event["dedup_key"].split("-")[1], 16), event["event_action"]) for event in pagerduty.bodies()
    ]


def states() -> list[str]:
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def attempts() -> list[tuple[int, int, str]]:
    rows = Attempt.objects.order_by("delivery_id", "number")
    first = min(Delivery.objects.values_list("pk", flat=True))
    return [(row.delivery_id - first, row.number, row.outcome) for row in rows]


def test_only_the_first_of_a_batch_is_being_sent(post_warnings: Post) -> None:
    post_warnings(1, 2, 3)
    batch = claimed()
    assert len(batch.reserved) == 2
    assert states() == ["sending", "pending", "pending"]
    assert list(Delivery.objects.order_by("id").values_list("attempt_count", flat=True)) == [1, 0, 0]

    result = send(batch.first, PAGERDUTY)
    assert states() == ["sending", "pending", "pending"]
    assert record(batch.first, PAGERDUTY, result, batch.reserved[0]) == batch.reserved[0].delivery
    assert states() == ["delivered", "sending", "pending"]
    assert list(Delivery.objects.order_by("id").values_list("attempt_count", flat=True)) == [1, 1, 0]


def test_a_killed_worker_leaves_doubt_only_about_what_it_was_sending(
    post_warnings: Post, pagerduty: Vendor
) -> None:
    post_warnings(1, 2, 3)
    claimed()  # and its worker dies here
    drain("pagerduty")
    assert sorted(received(pagerduty)) == [(1, "trigger"), (2, "trigger"), (3, "trigger")]
    assert attempts() == [(0, 1, "unknown"), (0, 2, "delivered"), (1, 1, "delivered"), (2, 1, "delivered")]


def test_what_a_dead_sender_had_reserved_is_free_at_the_next_sweep(post_warnings: Post) -> None:
    post_warnings(1, 2, 3)
    claimed(slot=1)
    assert claim(PAGERDUTY, slot=0) is None
    free_abandoned("pagerduty")
    assert len(claimed(slot=0).reserved) == 2


def test_no_other_sender_takes_what_is_reserved_until_its_lease_is_over(post_warnings: Post) -> None:
    post_warnings(1, 2)
    claimed(slot=0)
    assert claim_batch(PAGERDUTY, slot=1, most=10) is None
    assert not is_anything_due("pagerduty")
    past = timezone.now() - timedelta(seconds=1)
    Delivery.objects.filter(state="pending").update(lease_until=past)
    assert is_anything_due("pagerduty")
    assert claimed(slot=1).reserved == []


def test_a_reservation_that_another_sender_took_over_is_not_begun(post_warnings: Post) -> None:
    post_warnings(1, 2)
    batch = claimed(slot=0)
    Delivery.objects.filter(state="pending").update(lease_until=timezone.now() - timedelta(seconds=1))
    claimed(slot=1)
    assert begin(batch.reserved[0]) is None


def test_a_page_that_comes_meanwhile_goes_before_the_rest_of_the_batch(
    post_alerts: Post, post_warnings: Post, pagerduty: Vendor
) -> None:
    post_warnings(1, 2, 3)
    batch = claimed()
    post_alerts(alert(9, severity="critical"))
    assert send_batch(batch, PAGERDUTY) == 1
    drain("pagerduty")
    assert received(pagerduty) == [(1, "trigger"), (9, "trigger"), (2, "trigger"), (3, "trigger")]


def test_no_trigger_leaves_for_an_alert_that_was_resolved_after_the_batch_was_claimed(
    post_warnings: Post, pagerduty: Vendor
) -> None:
    post_warnings(1, 2, 3)
    batch = claimed()
    post_warnings(2, status="resolved")
    send_batch(batch, PAGERDUTY)
    drain("pagerduty")
    assert received(pagerduty) == [(1, "trigger"), (3, "trigger")]
    assert states() == ["delivered", "superseded", "delivered", "superseded"]


def test_retry_after_holds_what_another_sender_has_reserved(post_warnings: Post, pagerduty: Vendor) -> None:
    post_warnings(1, 2, 3)
    mine, pagerduty.replies = claimed(most=2), [Reply(429, headers={"Retry-After": "60"})]
    other = claimed(slot=1).first
    record(other, PAGERDUTY, send(other, PAGERDUTY))
    send_batch(mine, PAGERDUTY)
    assert len(received(pagerduty)) == 2  # the one that was answered so, and the one already begun
    assert claim_batch(PAGERDUTY, slot=0, most=10) is not None
    assert Channel.objects.get(pk="pagerduty").next_slot_at > timezone.now() + timedelta(seconds=50)


def test_a_failure_does_not_end_the_others_of_its_batch(post_warnings: Post, pagerduty: Vendor) -> None:
    pagerduty.replies = [Reply(500)]
    post_warnings(1, 2, 3)
    drain("pagerduty")
    assert states() == ["pending", "delivered", "delivered"]


def test_a_drain_that_ends_reserves_nothing_any_more(post_warnings: Post, pagerduty: Vendor) -> None:
    pagerduty.replies = [Reply(429, headers={"Retry-After": "60"})]
    post_warnings(1, 2, 3)
    assert drain("pagerduty") == 1
    assert set(Delivery.objects.values_list("state", "lease_until", "claim_slot")) == {
        ("pending", None, None)
    }


def test_an_earlier_message_about_the_same_alert_is_settled_before_the_next_is_claimed(
    post_warnings: Post,
) -> None:
    post_warnings(1, 2)
    post_warnings(1, 2, status="resolved")
    batch = claimed()
    assert [batch.first.kind, *[one.delivery.kind for one in batch.reserved]] == ["trigger", "trigger"]


@pytest.mark.parametrize("per_minute", [120, 6000])
def test_a_paced_channel_is_claimed_one_at_a_time(
    post_warnings: Post, settings: Any, per_minute: int
) -> None:
    settings.PAGERDUTY_EVENTS_PER_MINUTE = per_minute
    post_warnings(1, 2, 3)
    assert claimed().reserved == []


def test_a_sender_plans_its_statements_without_reading_whole_tables() -> None:
    def may_read_whole_tables() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW enable_seqscan")
            return str(cursor.fetchone()[0])

    with held_slot("pagerduty"):
        assert may_read_whole_tables() == "off"
    assert may_read_whole_tables() == "on"


def test_a_batch_is_sent_with_prepared_statements(post_warnings: Post, pagerduty: Vendor) -> None:
    connection.close()
    post_warnings(1, 2, 3)
    drain("pagerduty")
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        prepared = [statement for (statement,) in cursor.fetchall()]
    assert len(received(pagerduty)) == 3
    assert any("observability_attempt" in statement for statement in prepared)


def test_a_message_of_a_batch_costs_one_statement(post_alerts: Post, pagerduty: Vendor) -> None:
    count = 4 * MOST_IN_ONE_BATCH
    post_alerts(*warnings(*range(count)))
    drain("pagerduty")  # connections, imports
    post_alerts(*warnings(*range(count, 2 * count)))
    with CaptureQueriesContext(connection) as statements:
        drain("pagerduty")
    assert len(received(pagerduty)) == 2 * count
    assert len(statements) < 1.5 * count
