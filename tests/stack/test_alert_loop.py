"""The whole loop on real programs: a rule fires and is notified once, it recovers and is notified once more.

Only Slack and PagerDuty are stand-ins, and they speak real HTTP.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from observability.tests.vendors import Vendor
from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS, wait_until
from tests.dashboard_files import PanelQuery, dashboard_queries
from tests.installation import NOBODY, Installation, kill, run_command
from tests.rule_files import parse_query, rules
from tests.stack.monitoring import WINDOW, Monitoring, faster

pytestmark = [pytest.mark.stack, pytest.mark.needs("prometheus", "alertmanager")]

OWN_PATH = "/by-alertmanager"  # Alertmanager sends its own notifications to this address


# What a healthy Amani may have no data about, and why.
EMPTY_METRICS = {
    "node_": "no node exporter runs here",
    "pg_": "no postgres exporter runs here",
    "redis_": "no redis exporter runs here",
}
EMPTY_PANELS = {"Failed tasks, each hour, by task": "shows only tasks that fail"}


def need_not_exist(metric: str) -> bool:
    return metric.startswith(tuple(EMPTY_METRICS))


@pytest.fixture
def monitoring(
    request: pytest.FixtureRequest,
    installation: Installation,
    slack: Vendor,
    pagerduty: Vendor,
    tmp_path: Path,
    binary: Callable[[str], str],
) -> Iterator[Monitoring]:
    running = Monitoring(
        tmp_path,
        installation.port,
        binary,
        slack_url=slack.url + OWN_PATH,
        pagerduty_url=pagerduty.url + OWN_PATH,
        resend_delay=getattr(request, "param", "5s"),
    )
    running.start()
    yield running
    running.stop()
    for name in ("prometheus", "alertmanager"):
        sys.stdout.write(f"--- {name}\n{running.log(name)}\n")


@contextmanager
def traffic(url: str) -> Iterator[None]:
    """Some ten requests a second."""
    stopped = threading.Event()

    def ask() -> None:
        with requests.Session() as session:
            while not stopped.wait(0.1):
                session.get(url, timeout=ANSWER_SECONDS)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    stopped.set()
    thread.join()


def eventually(condition: Callable[[], Any]) -> bool:
    return wait_until(lambda: bool(condition()))


def ends_and_begins(slack: Vendor) -> list[str]:
    """What Slack received of HighErrorRate. A Prometheus that is too busy to answer does not confirm its end
    at once; that message is no fault.
    """
    titles = [message["text"].partition(" on test: ")[0] for message in about(slack, "HighErrorRate")]
    return [title for title in titles if "END NOT CONFIRMED" not in title]


def about(vendor: Vendor, alertname: str, *, by_alertmanager: bool = False) -> list[dict[str, Any]]:
    """What `vendor` received about one alert, by Amani or by Alertmanager itself."""
    with vendor.lock:
        received = list(vendor.received)
    return [
        message.body
        for message in received
        if message.path.endswith(OWN_PATH) == by_alertmanager and alertname in json.dumps(message.body)
    ]


def incident(pagerduty: Vendor, alertname: str, *, by_alertmanager: bool = False) -> list[dict[str, Any]]:
    """All events of one PagerDuty incident; a resolve names nothing but the key."""
    keys = {page["dedup_key"] for page in about(pagerduty, alertname, by_alertmanager=by_alertmanager)}
    assert len(keys) < 2, keys
    return [event for event in pagerduty.bodies() if event["dedup_key"] in keys]


def actions(events: list[dict[str, Any]]) -> list[str]:
    return [event["event_action"] for event in events]


def test_a_burst_of_errors_is_paged_once_and_its_end_once(
    installation: Installation, monitoring: Monitoring, slack: Vendor, pagerduty: Vendor
) -> None:
    requests_counted = 'sum(instance:amani_http_requests:sum{job="amani"})'
    with traffic(f"{installation.url}/test/works"), traffic(f"{installation.url}/api/v1/me"):
        assert eventually(lambda: monitoring.value(requests_counted)), monitoring.log("prometheus")
        with traffic(f"{installation.url}/test/fails"):
            assert eventually(lambda: about(pagerduty, "HighErrorRate") and about(slack, "HighErrorRate")), (
                monitoring.alerts()
            )
            every_panel_and_every_rule_is_answered(monitoring)
        assert monitoring.alerts()["HighErrorRate"] == "firing"
        assert eventually(
            lambda: len(incident(pagerduty, "HighErrorRate")) > 1 and len(ends_and_begins(slack)) > 1
        ), monitoring.alerts()

    installation.await_settled()  # a vendor has a message before Amani has recorded its answer
    pages = incident(pagerduty, "HighErrorRate")
    assert actions(pages) == ["trigger", "resolve"]
    assert pages[0]["payload"]["severity"] == "critical"
    assert ends_and_begins(slack) == [
        "🔴 CRITICAL: HighErrorRate",
        "✅ RESOLVED (critical): HighErrorRate",
    ]
    assert about(slack, "HighErrorRate", by_alertmanager=True) == []
    stored = installation.rows(
        "SELECT status, severity,"
        " array_agg(kind::text ORDER BY event.id) FILTER (WHERE kind NOT IN ('unconfirmed', 'ending'))"
        " FROM observability_episode AS episode JOIN observability_episodeevent AS event"
        " ON episode_id = episode.id WHERE alertname = 'HighErrorRate' GROUP BY episode.id"
    )
    assert stored == [("resolved", "critical", ["fired", "resolved"])]
    assert installation.states_of("HighErrorRate") == {
        ("pagerduty", "trigger"): ["delivered"],
        ("pagerduty", "resolve"): ["delivered"],
        ("slack", "trigger"): ["delivered"],
        ("slack", "resolve"): ["delivered"],
    }


# An alert that Prometheus stops to repeat ends after four delays: long enough for web to come back.
@pytest.mark.parametrize("monitoring", ["60s"], indirect=True)
def test_alertmanager_itself_notifies_that_the_application_is_down(
    installation: Installation, monitoring: Monitoring, slack: Vendor, pagerduty: Vendor
) -> None:
    assert eventually(lambda: monitoring.value('up{job="amani"}') == 1), monitoring.log("prometheus")
    assert eventually(monitoring.knows_alertmanager), monitoring.log("prometheus")
    kill(installation.web)

    assert eventually(lambda: about(pagerduty, "ApplicationDown", by_alertmanager=True)), monitoring.alerts()
    assert eventually(lambda: about(slack, "ApplicationDown", by_alertmanager=True)), monitoring.alerts()
    page = about(pagerduty, "ApplicationDown", by_alertmanager=True)[0]
    assert page["event_action"] == "trigger"
    assert page["routing_key"] == "A" * 32
    assert page["payload"]["summary"] == "Amani is down: web does not answer"

    # Alertmanager repeats what web did not accept in ever longer intervals, and never sends the end of an
    # alert whose begin was not accepted. So Prometheus sees that web is back only when the begin was.
    with monitoring.without_prometheus():
        installation.restart(installation.web)
        # Amani keeps the history of it, and sends no second page.
        assert eventually(lambda: installation.count("episode", "alertname = 'ApplicationDown'")), (
            installation.log("web")
        )
    assert eventually(
        lambda: actions(incident(pagerduty, "ApplicationDown", by_alertmanager=True))[-1] == "resolve"
    ), monitoring.alerts()
    assert installation.states_of("ApplicationDown") == {}
    assert about(pagerduty, "ApplicationDown") == []
    assert about(slack, "ApplicationDown") == []


def test_the_watchdog_keeps_arriving_and_causes_no_page(
    installation: Installation, monitoring: Monitoring, slack: Vendor, pagerduty: Vendor
) -> None:
    def seen() -> list[tuple[Any, ...]]:
        return installation.rows(
            "SELECT last_seen_at FROM observability_heartbeat WHERE name = 'watchdog' AND last_seen_at > %s",
            began,
        )

    began = installation.rows("SELECT now()")[0][0]
    assert eventually(seen), monitoring.log("alertmanager")
    first = seen()
    assert eventually(lambda: seen() != first), monitoring.log("alertmanager")
    assert installation.count("episode", "alertname = 'Watchdog'") == 0
    # Nor are webhooks and probes taken for the users' traffic.
    assert monitoring.value("sum(increase(instance:amani_http_requests:sum[10s]))") == 0
    assert about(slack, "Watchdog") == about(pagerduty, "Watchdog") == []


def test_the_fire_drill_reports_every_hop(
    installation: Installation, monitoring: Monitoring, slack: Vendor, pagerduty: Vendor
) -> None:
    drill = run_command(
        installation,
        "fire_drill",
        "--timeout",
        str(int(PATIENCE_SECONDS)),
        ALERTMANAGER_URL=monitoring.alertmanager_url,
    )

    assert drill.returncode == 0, drill.stdout + drill.stderr
    hops = [line.partition(" s  ")[2] for line in drill.stdout.splitlines()]
    number = installation.rows("SELECT id FROM observability_episode WHERE alertname = 'FireDrill'")[0][0]
    assert hops[:2] == ["Alertmanager accepted the alert", f"Amani stored it as alert {number}"]
    assert sorted(hops[2:4]) == ["pagerduty trigger: Delivered", "slack trigger: Delivered"]
    assert hops[4:6] == [
        "Alertmanager accepted the resolve; it sends it at the group's next group_interval",
        "Amani stored the resolve",
    ]
    assert sorted(hops[6:8]) == ["pagerduty resolve: Delivered", "slack resolve: Delivered"]
    assert drill.stdout.splitlines()[-1] == "The loop is closed: alert and resolve reached every channel."
    assert actions(incident(pagerduty, "FireDrill")) == ["trigger", "resolve"]
    assert len(about(slack, "FireDrill")) == 2


def every_panel_and_every_rule_is_answered(monitoring: Monitoring) -> None:
    """Also that every metric of a rule exists, for a rule that never fires looks like one that need not.

    Asked in the middle of the burst, when there is something of everything; each need be answered once.
    """

    def ask(promql: str) -> list[Any]:
        return monitoring.answer(WINDOW.sub(lambda found: f"[{faster(found[1])}]", promql))

    def all_were_answered() -> bool:
        unanswered.difference_update([query for query in unanswered if ask(query)])
        return not unanswered and all(rule["health"] != "unknown" for rule in monitoring.rules())

    metrics = {metric for rule in rules() for metric in parse_query(rule["expr"]).metrics}
    unanswered = {metric for metric in metrics if not need_not_exist(metric)}
    unanswered |= {query.promql for query in must_have_data()}
    eventually(all_were_answered)
    assert unanswered == set()
    assert {rule["name"]: rule["lastError"] for rule in monitoring.rules() if rule["health"] != "ok"} == {}
    for query in dashboard_queries():
        ask(query.promql)  # what may be empty is still a question that Prometheus takes


def must_have_data() -> list[PanelQuery]:
    assert set(EMPTY_PANELS) <= {query.panel for query in dashboard_queries()}
    return [
        query
        for query in dashboard_queries()
        if query.panel not in EMPTY_PANELS and not any(map(need_not_exist, parse_query(query.promql).metrics))
    ]


def test_a_fire_drill_without_alertmanager_fails(installation: Installation) -> None:
    drill = run_command(installation, "fire_drill")
    assert drill.returncode == 1
    assert f"Alertmanager at {NOBODY}/api/v2/alerts did not accept the alert" in drill.stderr
