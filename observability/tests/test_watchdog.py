"""The Watchdog is missing: who is notified, when, and with which text; and when there must be no page."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from core.outgoing import ConnectFailed, OutcomeUnknown
from local.ports import find_free_port
from observability.alerts import pipeline, watchdog
from observability.alerts.delivery import drain
from observability.metrics import REGISTRY
from observability.models import Delivery, Episode, Heartbeat
from observability.tests.payloads import alert
from observability.tests.stand_in import StandIn
from observability.tests.vendors import Reply, Vendor, write
from observability.tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("channels", "monitors")]
Post = Callable[..., Any]

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
BOTH_ANSWER = (
    "Prometheus and Alertmanager answered. Check the connection between them and Amani: the rule Watchdog, "
    "its route in alertmanager.yml, the webhook's address and its token. Alerts may not arrive."
)


class Monitor(StandIn):
    """Prometheus or Alertmanager, as far as `/-/healthy` goes."""

    def __init__(self) -> None:
        self.reply = Reply()
        self.hangs = False
        self.authorization = ""
        super().__init__()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        assert handler.path == "/-/healthy"
        if self.hangs:
            time.sleep(5)
        given = handler.headers.get("Authorization", "")
        write(handler, self.reply if given == self.authorization else Reply(401))


@pytest.fixture
def monitors(settings: Any) -> Iterator[tuple[Monitor, Monitor]]:
    """Prometheus and Alertmanager, both well; and the Watchdog's settings as shipped for production."""
    pair = (Monitor(), Monitor())
    settings.PROMETHEUS_URL, settings.ALERTMANAGER_URL = (f"http://{each.address}" for each in pair)
    settings.WATCHDOG_TIMEOUT_SECONDS = 240
    settings.WATCHDOG_FIRST_TIMEOUT_SECONDS = 1800
    yield pair
    for each in pair:
        each.close()


def watch(since: datetime, seconds: int, every: int = 10) -> datetime:
    """The worker looks every 10 seconds; returns when it did so last."""
    now = since
    for past in range(0, seconds + 1, every):
        now = since + timedelta(seconds=past)
        pipeline.check_watchdog(now)
    return now


def watchdog_arrives(at: datetime) -> None:
    Heartbeat.beat(Heartbeat.WATCHDOG, at)


def firing() -> list[str]:
    """Summaries of what Amani raised and did not end."""
    return list(Episode.objects.filter(status="firing").values_list("summary", flat=True))


def exported_sign() -> float | None:
    return REGISTRY.get_sample_value("amani_watchdog_last_seen_timestamp_seconds")


def actions(pagerduty: Vendor) -> list[str]:
    return [event["event_action"] for event in pagerduty.bodies()]


# --- Silence ---


def test_watchdog_that_stays_away_is_paged_once_after_240_seconds_and_its_return_ends_it(
    pagerduty: Vendor,
) -> None:
    watchdog_arrives(NOON)
    now = watch(NOON, 240)
    assert firing() == []
    now = watch(now, 60)
    assert firing() == [f"No Watchdog since 2026-11-26 12:00 UTC: {BOTH_ANSWER}"]
    drain("pagerduty")
    watchdog_arrives(now)
    watch(now, 10)
    drain("pagerduty")
    assert firing() == []
    assert actions(pagerduty) == ["trigger", "resolve"]


def test_watchdog_that_comes_every_minute_is_never_reported() -> None:
    now = NOON
    for _ in range(10):
        watchdog_arrives(now)
        now = watch(now, 60)
    assert not Episode.objects.exists()
    assert exported_sign() == (now - timedelta(seconds=60)).timestamp()


def test_end_of_the_watchdog_is_silence_at_once(post_alerts: Post) -> None:
    """Alertmanager reports it up to four minutes after Prometheus has gone; 240 more would be too late."""
    now = timezone.now()
    watch(now - timedelta(seconds=130), 120)
    post_alerts(alert(labels={"alertname": "Watchdog"}))
    watch(now, 0)
    assert firing() == []
    post_alerts(alert(labels={"alertname": "Watchdog"}, status="resolved"))
    watch(now + timedelta(seconds=10), 0)
    (summary,) = firing()
    assert summary.partition(": ")[2] == (
        "Prometheus no longer reaches Alertmanager. Check that Prometheus runs, its rule Watchdog, and "
        "Alertmanager's address in prometheus.yml. Alerts may not arrive."
    )
    post_alerts(alert(labels={"alertname": "Watchdog"}))
    watch(now + timedelta(seconds=20), 0)
    assert firing() == []


def test_end_of_one_watchdog_of_two_is_no_silence(post_alerts: Post) -> None:
    now = timezone.now()
    watch(now - timedelta(seconds=200), 200)
    post_alerts(
        alert(1, labels={"alertname": "Watchdog", "replica": "a"}, status="resolved"),
        alert(2, labels={"alertname": "Watchdog", "replica": "b"}),
    )
    watch(now, 10)
    assert firing() == []


# --- Which part it is ---


def explained() -> str:
    watchdog_arrives(NOON)
    watch(NOON, 250)
    (summary,) = firing()
    return summary.removeprefix("No Watchdog since 2026-11-26 12:00 UTC: ")


def test_prometheus_that_does_not_answer_is_named(monitors: tuple[Monitor, Monitor]) -> None:
    monitors[0].reply = Reply(503)
    assert explained() == "Prometheus does not answer (PROMETHEUS_URL). Alerts may not arrive."


def test_prometheus_gets_its_password_and_alertmanager_does_not(
    monitors: tuple[Monitor, Monitor], settings: Any
) -> None:
    settings.PROMETHEUS_USER, settings.PROMETHEUS_PASSWORD = "team", "p:sswörd"
    monitors[0].authorization = "Basic dGVhbTpwOnNzd8O2cmQ="
    assert explained() == BOTH_ANSWER


def test_alertmanager_that_hangs_is_named_within_bounded_time(
    monitors: tuple[Monitor, Monitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "HEALTH_CHECK_SECONDS", 0.3)
    monitors[1].hangs = True
    assert explained() == "Alertmanager does not answer (ALERTMANAGER_URL). Alerts may not arrive."


def test_both_are_named_when_neither_answers(settings: Any) -> None:
    settings.PROMETHEUS_URL = f"http://127.0.0.1:{find_free_port()}"
    settings.ALERTMANAGER_URL = "not an address"
    assert explained() == (
        "neither Prometheus nor Alertmanager answers (PROMETHEUS_URL, ALERTMANAGER_URL)."
        " Alerts may not arrive."
    )


def test_prometheus_without_an_address_is_not_called_silent(settings: Any) -> None:
    settings.PROMETHEUS_URL = ""
    assert explained() == (
        "Alertmanager answered. Check the connection between them and Amani: the rule Watchdog, its route in "
        "alertmanager.yml, the webhook's address and its token. Prometheus was not asked: PROMETHEUS_URL is "
        "empty. Alerts may not arrive."
    )


def test_the_monitors_are_not_asked_again_while_the_alert_fires(
    monitors: tuple[Monitor, Monitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    explained()
    monkeypatch.setattr(watchdog, "is_healthy", lambda *_monitor: pytest.fail("asked again"))
    watch(NOON + timedelta(seconds=260), 60)
    assert Episode.objects.count() == 1


def test_the_alert_goes_out_through_amani_itself_on_every_channel() -> None:
    explained()
    assert set(Delivery.objects.values_list("channel", "kind")) == {
        ("slack", "trigger"),
        ("pagerduty", "trigger"),
    }


# --- Pauses of Amani ---


def test_start_after_an_hours_pause_causes_no_page_while_the_watchdog_may_still_arrive() -> None:
    watchdog_arrives(NOON)
    watch(NOON, 50)
    later = NOON + timedelta(hours=1)
    now = watch(later, 120)
    assert not Episode.objects.exists()
    watchdog_arrives(now)
    watch(now, 200)
    assert not Episode.objects.exists()


def test_watchdog_that_does_not_come_after_a_pause_is_reported_all_the_same() -> None:
    watchdog_arrives(NOON)
    watch(NOON, 50)
    watch(NOON + timedelta(hours=1), 240)
    assert firing() == [f"No Watchdog since 2026-11-26 12:00 UTC: {BOTH_ANSWER}"]


def test_end_of_the_watchdog_reported_in_the_first_two_minutes_causes_no_page(post_alerts: Post) -> None:
    """Alertmanager ran on while Prometheus and Amani were stopped: it reports an end that is old."""
    now = timezone.now()
    watchdog_arrives(now - timedelta(hours=1))
    watch(now - timedelta(hours=1), 50)
    watch(now, 0)
    post_alerts(alert(labels={"alertname": "Watchdog"}, status="resolved"))
    end = watch(now, 110)
    assert not Episode.objects.exists()
    watchdog_arrives(end)
    watch(end, 60)
    assert not Episode.objects.exists()


def test_worker_that_restarts_again_and_again_does_not_postpone_the_alert_for_ever() -> None:
    watchdog_arrives(NOON)
    watch(NOON, 45 * 5, every=45)
    assert firing() == []
    watch(NOON + timedelta(seconds=45 * 6), 45 * 4, every=45)
    assert len(firing()) == 1


def test_short_gaps_do_not_begin_the_grace_anew() -> None:
    watchdog_arrives(NOON)
    watch(NOON, 250, every=25)
    assert len(firing()) == 1


def test_a_pause_does_not_end_an_alert_that_fires() -> None:
    watchdog_arrives(NOON)
    watch(NOON, 250)
    watch(NOON + timedelta(hours=1), 60)
    assert len(firing()) == 1


# --- Never status ---


def test_watchdog_that_never_arrived_is_reported_after_the_first_timeout(pagerduty: Vendor) -> None:
    now = watch(NOON, 1800)
    assert firing() == []
    watch(now, 10)
    assert firing() == [f"No Watchdog has ever arrived: {BOTH_ANSWER}"]
    drain("pagerduty")
    assert actions(pagerduty) == ["trigger"]


def test_watchdog_that_never_arrived_is_not_reported_where_the_first_timeout_is_off(settings: Any) -> None:
    settings.WATCHDOG_FIRST_TIMEOUT_SECONDS = 0
    watch(NOON, 3600, every=30)
    assert not Episode.objects.exists()
    assert exported_sign() == 0


def test_time_in_which_amani_did_not_run_is_no_time_without_a_watchdog() -> None:
    watch(NOON, 1700)
    watch(NOON + timedelta(hours=24), 60)
    assert not Episode.objects.exists()


# --- Where the spans end ---

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("seen", "ended", "silence", "watching_for", "is_present", "is_overdue"),
    [
        (NOON, None, 240, 0, True, False),
        (NOON, None, 241, 0, False, True),
        (NOON, NOON, 0, 120, False, False),
        (NOON, NOON, 0, 121, False, True),
        (NOON, NOON, 241, 0, False, True),
        (None, None, 0, 0, False, False),
        (None, None, 1800, 9999, False, False),
        (None, None, 1801, 0, False, True),
    ],
)
def test_watchdog_is_heard_overdue_or_awaited(
    seen: datetime | None,
    ended: datetime | None,
    silence: int,
    watching_for: int,
    is_present: bool,
    is_overdue: bool,
) -> None:
    status = watchdog.WatchdogStatus(seen, ended, silence * SECOND, watching_for * SECOND)
    assert (status.is_present, status.is_overdue) == (is_present, is_overdue)


def worker(**fields: datetime | None) -> None:
    Heartbeat.objects.update_or_create(name="worker", defaults=fields)


@pytest.mark.parametrize(
    ("gap", "silence", "watching_since"),
    [
        (-5, 0, NOON - timedelta(hours=1)),
        (0, 0, NOON - timedelta(hours=1)),
        (30, 30, NOON - timedelta(hours=1)),
        (31, 30, NOON),
    ],
)
def test_gap_in_the_watch_counts_for_at_most_thirty_seconds_and_then_begins_it_anew(
    gap: int, silence: int, watching_since: datetime
) -> None:
    watchdog_arrives(NOON - timedelta(minutes=10))
    worker(last_seen_at=NOON - gap * SECOND, watching_since=NOON - timedelta(hours=1))
    status = watchdog.update(NOON)
    assert (status.silence, status.watching_for) == (silence * SECOND, NOON - watching_since)
    row = Heartbeat.objects.get(pk="worker")
    assert (row.last_seen_at, row.watching_since) == (NOON, watching_since)


def test_first_look_has_watched_nothing_yet() -> None:
    status = watchdog.update(NOON)
    assert status == watchdog.WatchdogStatus(None, None, timedelta(0), timedelta(0))
    row = Heartbeat.objects.get(pk="worker")
    assert (row.last_seen_at, row.watching_since) == (NOON, NOON)


def test_worker_without_a_known_start_watches_since_now() -> None:
    worker(last_seen_at=None, watching_since=None)
    assert watchdog.update(NOON).watching_for == timedelta(0)
    assert Heartbeat.objects.get(pk="worker").watching_since == NOON


def test_silence_is_not_longer_than_the_time_since_the_watchdog_came() -> None:
    watchdog_arrives(NOON - 4 * SECOND)
    Heartbeat.objects.filter(pk="watchdog").update(silent_seconds=100)
    worker(last_seen_at=NOON - 10 * SECOND, watching_since=NOON)
    assert watchdog.update(NOON).silence == 4 * SECOND
    watchdog_arrives(NOON + 60 * SECOND)
    Heartbeat.objects.filter(pk="watchdog").update(silent_seconds=100)
    assert watchdog.update(NOON).silence == timedelta(0)


@pytest.mark.parametrize(
    ("outcome", "is_healthy"),
    [
        (200, True),
        (204, False),
        (503, False),
        (ConnectFailed("refused"), False),
        (OutcomeUnknown("cut"), False),
    ],
)
def test_monitor_is_healthy_when_it_answers_200_to_one_bounded_request_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, outcome: int | Exception, is_healthy: bool
) -> None:
    asked: list[Any] = []

    def send(*request: str, **bounds: Any) -> Any:
        asked.append((request, bounds))
        if isinstance(outcome, Exception):
            raise outcome
        return SimpleNamespace(status=outcome)

    monkeypatch.setattr(watchdog, "send", send)
    assert watchdog.is_healthy("Prometheus", "http://prometheus:9090") is is_healthy
    bounds = {"seconds": 2.0, "limit_bytes": 1000, "beginning_is_enough": True, "by_proxy": False}
    [(request, others)] = asked
    assert request == ("GET", "http://prometheus:9090/-/healthy")
    assert others == {"body": b"", "headers": {}} | bounds


def test_monitors_are_asked_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def is_healthy(_name: str, url: str) -> bool:
        both.wait(PATIENCE_SECONDS)
        return url == "b"

    monkeypatch.setattr(watchdog, "is_healthy", is_healthy)
    assert watchdog.silent_among({"A": "a", "B": "b"}) == ["A"]
    assert watchdog.silent_among({}) == []
