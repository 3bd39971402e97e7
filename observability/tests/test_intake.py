import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from observability.alerts.intake import ingest
from observability.alerts.intake.payload import read_payload
from observability.alerts.intake.webhook import MOST_WRONG_TOKENS, wrong_tokens
from observability.models import Delivery, Episode, EpisodeEvent, Heartbeat, Receipt
from observability.telemetry.metrics.exposition import OneProcess
from observability.tests.conftest import TOKEN
from observability.tests.payloads import alert, body, payload

pytestmark = pytest.mark.django_db
Post = Callable[..., Any]


def planned() -> list[tuple[str, str, str, int]]:
    rows = Delivery.objects.order_by("id").values_list("channel", "kind", "state", "priority")
    return sorted(rows)


def exported(name: str) -> dict[tuple[str, ...], float]:
    """What a scrape says of `name`: the value of each series by its labels' values."""
    families = OneProcess().collect()
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(sample.labels.values()): sample.value for sample in samples}


def nothing_is_stored() -> bool:
    return not (Receipt.objects.exists() or Episode.objects.exists() or Delivery.objects.exists())


def test_critical_alert_is_stored_with_receipt_timeline_and_two_planned_deliveries(post_alerts: Post) -> None:
    response = post_alerts(alert(1))
    receipt = Receipt.objects.get()
    assert (response.status_code, response.json()) == (
        200,
        {"receipt": receipt.pk, "stored": 1, "set_aside": 0},
    )
    assert (receipt.outcome, receipt.alert_count, receipt.changed_count) == ("stored", 1, 1)
    assert bytes(receipt.body) == body(alert(1))
    episode = Episode.objects.get()
    assert (episode.alertname, episode.status, episode.severity) == ("HighErrorRate", "firing", "critical")
    event = EpisodeEvent.objects.get()
    assert (event.episode_id, event.kind, event.receipt_id) == (episode.pk, "fired", receipt.pk)
    assert planned() == [("pagerduty", "trigger", "pending", 0), ("slack", "trigger", "pending", 0)]


@pytest.mark.parametrize(
    ("severity", "channels"),
    [("critical", {"slack", "pagerduty"}), ("error", {"slack"}), ("warning", {"slack"}), ("info", set())],
)
def test_severity_decides_the_channels(
    post_alerts: Post, rings: list[str], severity: str, channels: set[str]
) -> None:
    post_alerts(alert(severity=severity))
    assert {channel for channel, *_ in planned()} == channels


def test_doorbell_rings_for_the_planned_channels_after_the_commit(
    post_alerts: Post, rings: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        post_alerts(alert(severity="warning"))
        assert rings == []
    assert rings == ["slack"]


def test_alert_that_alertmanager_notifies_itself_is_stored_without_a_notification(post_alerts: Post) -> None:
    labels = {"alertname": "ApplicationDown", "severity": "critical", "notified_by": "alertmanager"}
    post_alerts(alert(labels=labels))
    assert Episode.objects.count() == 1
    assert planned() == []


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"severity": "info"}, "severity_not_routed"),
        ({"severity": "warning"}, ""),
        ({"severity": "critical", "notified_by": "alertmanager"}, "sender_notifies"),
        ({"severity": "info", "notified_by": "alertmanager"}, "sender_notifies"),
        ({"severity": "critical", "notified_by": "somebody"}, ""),
    ],
)
def test_reason_not_to_notify_is_stored_with_the_alert_and_outlives_the_settings(
    post_alerts: Post, settings: Any, labels: dict[str, str], reason: str
) -> None:
    post_alerts(alert(1, labels={"alertname": "A"} | labels))
    settings.ALERT_ROUTES = {"critical": (), "error": (), "warning": (), "info": ("slack",)}
    post_alerts(alert(1, labels={"alertname": "A"} | labels))
    assert Episode.objects.get().not_notified == reason
    assert Delivery.objects.exists() == (reason == "")


def test_resolve_closes_the_episode_and_plans_its_updates(post_alerts: Post) -> None:
    post_alerts(alert(1))
    post_alerts(alert(1, status="resolved"))
    episode = Episode.objects.get()
    assert episode.status == "resolved"
    assert episode.ends_at is not None
    assert [event.kind for event in episode.events.all()] == ["fired", "resolved"]
    assert planned() == [
        ("pagerduty", "resolve", "pending", 5),
        ("pagerduty", "trigger", "pending", 0),
        ("slack", "resolve", "pending", 5),
        ("slack", "trigger", "pending", 0),
    ]


def test_replayed_payload_changes_nothing_but_leaves_its_receipt(post_alerts: Post) -> None:
    for _ in range(10):
        assert post_alerts(alert(1)).status_code == 200
    assert (Episode.objects.count(), EpisodeEvent.objects.count(), Delivery.objects.count()) == (1, 1, 2)
    assert sorted(Receipt.objects.values_list("changed_count", flat=True)) == [0] * 9 + [1]


def test_late_firing_never_reopens_a_resolved_episode(post_alerts: Post) -> None:
    post_alerts(alert(1, status="resolved"))
    post_alerts(alert(1))
    episode = Episode.objects.get()
    assert episode.status == "resolved"
    assert [event.kind for event in episode.events.all()] == ["resolved"]


def test_one_bad_alert_is_set_aside_and_99_are_stored(post_alerts: Post) -> None:
    alerts: list[Any] = [alert(number) for number in range(100)]
    alerts[41]["status"] = "garbage"
    response = post_alerts(*alerts)
    assert (response.status_code, response.json()["stored"], response.json()["set_aside"]) == (200, 99, 1)
    receipt = Receipt.objects.get()
    assert (receipt.outcome, receipt.set_aside[0]["position"]) == ("partial", 41)
    assert receipt.reason == (
        "1 of 100 alerts set aside; the first, alert 41: \"status\" is 'garbage', "
        'expected "firing" or "resolved".'
    )


def test_nul_over_long_label_and_odd_date_do_not_cost_the_rest(post_alerts: Post) -> None:
    response = post_alerts(
        alert(1, labels={"alertname": "Nul\0", "x": "\ud800"}),
        alert(2, labels={"alertname": "Long", "x": "y" * 100_000}),
        alert(3, startsAt="0000-00-00T00:00:00Z"),
        alert(4),
    )
    assert (response.status_code, response.json()["stored"]) == (200, 4)


def test_alert_with_an_odd_field_is_stored_and_the_receipt_says_what_was_odd(post_alerts: Post) -> None:
    response = post_alerts(alert(1), alert(2, labels={"alertname": "A", "port": 8000, "gone": None}))
    assert response.json()["stored"] == 2
    receipt = Receipt.objects.get()
    assert (receipt.outcome, receipt.set_aside) == ("stored", [])
    assert receipt.odd_fields == [
        {"position": 1, "reason": "\"labels\" has a value that is not a string: 'port', converted"},
        {"position": 1, "reason": "\"labels\" has no value for 'gone': left out"},
    ]
    assert receipt.reason == (
        "1 of 2 alerts stored with unusable fields; the first, alert 1: "
        "\"labels\" has a value that is not a string: 'port', converted."
    )


@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_alert_without_a_usable_start_begins_when_it_arrives_and_its_replay_changes_nothing(
    post_alerts: Post, status: str
) -> None:
    odd = alert(1, status=status, startsAt="garbage", endsAt=None)
    arrived = timezone.now()
    for _ in range(5):
        assert post_alerts(odd).status_code == 200
    episode = Episode.objects.get()
    assert arrived <= episode.starts_at <= timezone.now()
    assert episode.dedup_key == f"amani-{1:016x}-{episode.starts_at.isoformat()}"
    assert EpisodeEvent.objects.count() == 1
    assert sorted(Receipt.objects.values_list("changed_count", flat=True)) == [0, 0, 0, 0, 1]


def test_resolve_without_a_usable_start_ends_the_firing_episode_once(post_alerts: Post) -> None:
    post_alerts(alert(1))
    for _ in range(2):
        post_alerts(alert(1, status="resolved", startsAt="garbage"))
    episode = Episode.objects.get()
    assert [event.kind for event in episode.events.all()] == ["fired", "resolved"]


def test_resolve_without_a_usable_start_whose_end_lies_before_the_episode_does_not_end_it(
    post_alerts: Post,
) -> None:
    post_alerts(alert(1))
    post_alerts(alert(1, status="resolved", startsAt=None, endsAt="2026-11-23T02:59:59Z"))
    assert Episode.objects.get().status == "firing"
    post_alerts(alert(1, startsAt="2026-11-23T04:00:00Z"))
    post_alerts(alert(1, status="resolved", startsAt=None, endsAt="2026-11-23T03:30:00Z"))
    assert Episode.objects.get().status == "firing"
    post_alerts(alert(1, status="resolved", startsAt=None, endsAt=None))
    assert Episode.objects.get().status == "resolved"


def test_firing_alert_without_a_usable_start_goes_on_with_the_start_that_is_known(post_alerts: Post) -> None:
    post_alerts(alert(1))
    post_alerts(alert(1, startsAt="2026-11-23T04:00:00Z"))
    before = Episode.objects.values().get()
    post_alerts(alert(1, startsAt="garbage"))
    assert Episode.objects.values().get() == before


def test_alert_without_a_usable_start_that_fires_after_its_resolve_is_a_new_episode(
    post_alerts: Post,
) -> None:
    post_alerts(alert(1, startsAt=None))
    post_alerts(alert(1, status="resolved", startsAt=None, endsAt=None))
    post_alerts(alert(1, startsAt=None))
    assert list(Episode.objects.order_by("id").values_list("status", flat=True)) == ["resolved", "firing"]


def test_resolve_without_a_usable_start_does_not_begin_after_its_end(post_alerts: Post) -> None:
    post_alerts(alert(1, status="resolved", startsAt="garbage"))
    episode = Episode.objects.get()
    assert episode.starts_at == episode.ends_at


@pytest.mark.parametrize(
    ("severity", "stored", "channels"),
    [
        ("critical ", ("critical", False), {"slack", "pagerduty"}),
        ("P1", ("critical", False), {"slack", "pagerduty"}),
        ("blocker", ("error", True), {"slack"}),
    ],
)
def test_severity_of_other_words_goes_where_its_meaning_goes(
    post_alerts: Post, severity: str, stored: tuple[str, bool], channels: set[str]
) -> None:
    post_alerts(alert(severity=severity))
    episode = Episode.objects.get()
    assert (episode.severity, episode.severity_is_unknown) == stored
    assert episode.labels["severity"] == severity
    assert {channel for channel, *_ in planned()} == channels


def test_unknown_severities_and_odd_fields_are_counted_without_their_values(
    post_alerts: Post, settings: Any
) -> None:
    settings.PROMETHEUS_MULTIPROC_DIR = ""
    before = exported("amani_alerts_unknown_severity_total"), exported("amani_alerts_with_odd_fields_total")
    post_alerts(alert(1, severity="blocker"), alert(2, severity="meh"), alert(3, startsAt=None), alert(4))
    assert exported("amani_alerts_unknown_severity_total") == {(): before[0][()] + 2}
    assert exported("amani_alerts_with_odd_fields_total") == {(): before[1][()] + 1}


def test_alerts_that_alertmanager_left_out_are_counted_once_stored(post_alerts: Post, settings: Any) -> None:
    settings.PROMETHEUS_MULTIPROC_DIR = ""
    before = exported("amani_alerts_truncated_total")[()]
    post_alerts(raw=json.dumps(payload(alert(1), truncatedAlerts=37)).encode())
    assert Receipt.objects.get().truncated_alerts == 37
    assert exported("amani_alerts_truncated_total")[()] == before + 37
    post_alerts(alert(2))
    post_alerts(raw=b'{"truncatedAlerts": 5}')  # no payload: nothing of it is stored
    assert exported("amani_alerts_truncated_total")[()] == before + 37


def test_alert_that_only_postgresql_refuses_is_set_aside(
    post_alerts: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our reading lets it pass here, as a gap in it would."""
    monkeypatch.setattr("observability.alerts.intake.payload.clean", lambda text: text)
    response = post_alerts(alert(1), alert(2, labels={"alertname": "Nul\0"}), alert(3))
    assert (response.status_code, response.json()["stored"], response.json()["set_aside"]) == (200, 2, 1)
    assert "Unicode" in Receipt.objects.get().set_aside[0]["reason"]


@pytest.mark.parametrize("count", [1, 100])
def test_number_of_statements_does_not_grow_with_the_alerts(post_alerts: Post, count: int) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        post_alerts(*[alert(number) for number in range(count)])
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == 1


def test_ten_thousand_alerts_in_one_body_are_all_stored(post_alerts: Post) -> None:
    response = post_alerts(*[alert(number) for number in range(10_000)])
    assert response.json()["stored"] == 10_000
    assert (Episode.objects.count(), Delivery.objects.count()) == (10_000, 20_000)


def test_watchdog_is_a_heartbeat_and_no_history(post_alerts: Post) -> None:
    post_alerts(alert(labels={"alertname": "Watchdog", "severity": "none"}))
    assert Heartbeat.objects.filter(pk="watchdog").exists()
    assert not Episode.objects.exists()


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
def test_wrong_credential_is_refused_and_nothing_is_stored(client: Client, authorization: str) -> None:
    response = client.post(
        "/api/v1/alerts/webhook",
        data=body(alert(1)),
        content_type="application/json",
        headers={"Authorization": authorization},
    )
    assert (response.status_code, response.json()["code"]) == (401, "bad_token")
    assert nothing_is_stored()


def test_no_token_is_ever_right_when_none_is_set(post_alerts: Post, settings: Any) -> None:
    settings.ALERT_WEBHOOK_TOKEN = ""
    assert post_alerts(alert(1), token="").status_code == 401
    assert nothing_is_stored()


def test_many_wrong_tokens_are_refused_and_the_right_one_never(post_alerts: Post, settings: Any) -> None:
    """Not even that of the same source: it may be a proxy."""
    wrong_tokens.forget()
    statuses = [post_alerts(alert(1), token=f"wrong-{number}").status_code for number in range(40)]
    assert statuses == [401] * MOST_WRONG_TOKENS + [429] * (40 - MOST_WRONG_TOKENS)
    assert nothing_is_stored()
    assert post_alerts(alert(1)).status_code == 200

    settings.TRUSTED_PROXY_COUNT = 1
    other = Client(headers={"X-Forwarded-For": "192.0.2.1, 192.0.2.7"})
    assert (
        other.post("/api/v1/alerts/webhook", data=b"{}", content_type="application/json").status_code == 401
    )
    wrong_tokens.forget()


def test_previous_token_still_opens_while_it_is_rotated(post_alerts: Post, settings: Any) -> None:
    settings.ALERT_WEBHOOK_TOKEN_PREVIOUS = "the-token-before-0123456789"
    assert post_alerts(alert(1), token="the-token-before-0123456789").status_code == 200
    assert post_alerts(alert(1)).status_code == 200


def test_body_over_the_limit_is_refused_with_the_limit_and_the_way_out(
    post_alerts: Post, settings: Any
) -> None:
    settings.ALERT_WEBHOOK_MAX_BYTES = 100
    response = post_alerts(alert(1))
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert "the limit is 100" in response.json()["message"]
    assert nothing_is_stored()


def test_body_over_djangos_own_limit_is_taken(post_alerts: Post) -> None:
    raw = body(alert(1, annotations={"description": "d" * 3_000_000}))
    assert post_alerts(raw=raw).status_code == 200


def test_what_is_no_payload_is_kept_as_a_failed_receipt(post_alerts: Post) -> None:
    response = post_alerts(raw=b'{"hello": "world"}')
    assert (response.status_code, response.json()["code"]) == (400, "not_a_payload")
    receipt = Receipt.objects.get()
    assert (receipt.outcome, bytes(receipt.body)) == ("failed", b'{"hello": "world"}')
    assert receipt.reason.startswith('"version" is None')


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options"])
def test_only_post_is_answered(client: Client, method: str) -> None:
    response = getattr(client, method)("/api/v1/alerts/webhook")
    assert (response.status_code, response["Allow"]) == (405, "POST")


def test_trailing_slash_is_no_redirect(client: Client) -> None:
    response = client.post(
        "/api/v1/alerts/webhook/",
        data=body(alert(1)),
        content_type="application/json",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert response.status_code == 200


def test_https_redirect_spares_the_webhook(post_alerts: Post, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert post_alerts(alert(1)).status_code == 200


def test_csrf_protection_does_not_stand_in_the_way() -> None:
    response = Client(enforce_csrf_checks=True).post(
        "/api/v1/alerts/webhook",
        data=body(alert(1)),
        content_type="application/json",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    assert response.status_code == 200


def test_database_that_is_away_is_a_503_that_alertmanager_retries(
    post_alerts: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(parameters: dict[str, Any]) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr("observability.alerts.intake.ingest.execute", refuse)
    response = post_alerts(alert(1))
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


def test_answers_are_json_and_name_no_secret(post_alerts: Post) -> None:
    response = post_alerts(alert(1), token="wrong-token-wrong-token")
    assert response["Content-Type"] == "application/json"
    assert TOKEN not in json.dumps(response.json())


# --- The parts of storing ---


def test_receipt_says_where_the_body_came_from(post_alerts: Post) -> None:
    raw = body(alert(1), receiver="amani-critical", groupKey="{}:{a=1}", truncatedAlerts=2)
    post_alerts(raw=raw, **{"X-Request-ID": "from-alertmanager-1"})
    receipt = Receipt.objects.get()
    assert (receipt.receiver, receipt.group_key, receipt.truncated_alerts) == (
        "amani-critical",
        "{}:{a=1}",
        2,
    )
    assert (receipt.size, receipt.remote_address) == (len(raw), "127.0.0.1")
    assert (receipt.request_id, receipt.reason) == ("from-alertmanager-1", "")
    assert EpisodeEvent.objects.get().request_id == "from-alertmanager-1"
    post_alerts(raw=b"nonsense\0", **{"X-Request-ID": "from-alertmanager-2"})
    failed = Receipt.objects.get(outcome="failed")
    assert (failed.size, failed.remote_address) == (9, "127.0.0.1")
    assert failed.request_id == "from-alertmanager-2"


@pytest.mark.parametrize(("severity", "priority"), [("critical", 0), ("error", 1), ("warning", 1)])
def test_page_goes_before_other_alerts(post_alerts: Post, severity: str, priority: int) -> None:
    post_alerts(alert(severity=severity))
    assert {row[3] for row in planned()} == {priority}


def test_the_deliveries_of_each_change_are_those_that_the_outbox_would_plan() -> None:
    """The alert's channels choose among them."""
    rows = [tuple(row.values()) for row in json.loads(ingest.deliveries_to_plan(("pagerduty", "slack")))]
    assert {row[1] for row in rows} == {"critical", "error", "warning", "info"}
    assert [row for row in rows if row[1] in {"critical", "warning"}] == [
        ("fired", "critical", "trigger", "pagerduty", 0),
        ("fired", "critical", "trigger", "slack", 0),
        ("fired", "warning", "trigger", "pagerduty", 1),
        ("fired", "warning", "trigger", "slack", 1),
        ("resolved", "critical", "resolve", "pagerduty", 5),
        ("resolved", "critical", "resolve", "slack", 5),
        ("resolved", "warning", "resolve", "pagerduty", 5),
        ("resolved", "warning", "resolve", "slack", 5),
        ("unconfirmed", "critical", "unconfirmed", "slack", 5),  # PagerDuty has no message for it
        ("unconfirmed", "warning", "unconfirmed", "slack", 5),
    ]


def test_faults_of_both_kinds_are_in_one_line(post_alerts: Post) -> None:
    post_alerts(alert(1, startsAt=None), alert(2, status="odd"), alert(3, startsAt=None))
    assert Receipt.objects.get().reason == (
        '1 of 3 alerts set aside; the first, alert 1: "status" is \'odd\', expected "firing" or '
        '"resolved". 2 of 3 alerts stored with unusable fields; the first, alert 0: "startsAt" is missing: '
        "the time of arrival is taken."
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("cause", "is_lost", "was_connected", "is_worth"),
    [
        (psycopg.errors.SerializationFailure(), False, True, True),
        (psycopg.errors.DeadlockDetected(), False, True, True),
        (psycopg.errors.AdminShutdown(), False, True, False),
        (psycopg.errors.AdminShutdown(), True, True, True),
        (psycopg.errors.AdminShutdown(), True, False, False),
        (None, False, True, False),
    ],
)
def test_statement_is_repeated_after_a_conflict_or_on_a_new_connection(
    cause: Exception | None, is_lost: bool, was_connected: bool, is_worth: bool
) -> None:
    problem = OperationalError()
    problem.__cause__ = cause
    connection.ensure_connection()
    if is_lost:
        connection.close()
    assert ingest.is_worth_repeating(problem, was_connected=was_connected) == is_worth


def test_statement_in_a_transaction_is_not_repeated() -> None:
    problem = OperationalError()
    problem.__cause__ = psycopg.errors.DeadlockDetected()
    assert not ingest.is_worth_repeating(problem, was_connected=True)


def test_what_postgresql_refuses_is_set_aside_as_an_excerpt() -> None:
    row = read_payload(body(alert(1))).alerts[0]
    read = read_payload(body())
    assert ingest.is_storable(row, read)
    assert read.set_aside == []
    assert not ingest.is_storable(row | {"starts_at": "never", "summary": "s" * 600}, read)
    [item] = read.set_aside
    assert (item["position"], len(item["excerpt"])) == (-1, 500)
    assert item["reason"] == 'invalid input syntax for type timestamp with time zone: "never"'


def test_last_confirmation_is_stored_at_most_every_five_minutes(post_alerts: Post) -> None:
    post_alerts(alert(1))
    for age, is_stored in ((299, False), (301, True)):
        since = timezone.now() - timedelta(seconds=age)
        Episode.objects.update(confirmed_at=since)
        post_alerts(alert(1))
        assert (Episode.objects.get().confirmed_at > since) == is_stored, age
