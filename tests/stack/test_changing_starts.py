"""What real programs do to the start and the end of an alert: restarts, replicas, a Prometheus that hangs."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from local.ports import find_free_port
from observability.tests.vendors import Vendor
from observability.tests.waiting import ANSWER_SECONDS, wait_until
from tests.installation import Installation, pause, resume
from tests.stack.monitoring import Monitoring

pytestmark = [pytest.mark.stack, pytest.mark.needs("prometheus", "alertmanager")]

LABELS = {"alertname": "DiskIsFull", "severity": "critical", "instance": "db-1"}
BELIEF = {"PROMETHEUS_SILENT_AFTER_SECONDS": "3", "PROMETHEUS_SETTLES_IN_SECONDS": "3"}
TARGET_IS_DOWN = {
    "alert": "TargetIsDown",
    "expr": 'up{job="doomed"} == 0',
    "labels": {"severity": "critical", "service": "amani"},
    "annotations": {"summary": "It does not answer"},
}
ALWAYS_FIRES = {
    "alert": "AlwaysFires",
    "expr": "vector(1)",
    "labels": {"severity": "critical", "service": "amani"},
    "annotations": {"summary": "It always fires"},
}


@pytest.fixture(scope="module")
def ports(running_installation: Installation) -> Iterator[tuple[int, int]]:
    """Of Prometheus and Alertmanager in each of these tests: web and worker read them once."""
    found = (find_free_port(), find_free_port())
    usual = dict(running_installation.environment)
    running_installation.environment.update(
        PROMETHEUS_URL=f"http://localhost:{found[0]}",
        ALERTMANAGER_URL=f"http://localhost:{found[1]}",
        # The address in the links of alerts, which says whose they are.
        PROMETHEUS_PUBLIC_URL=f"http://{socket.gethostname()}:{found[0]}",
        **BELIEF,
    )
    stop_both(running_installation)  # `installation` starts them again
    yield found
    running_installation.environment.clear()
    running_installation.environment.update(usual)
    stop_both(running_installation)


def stop_both(installation: Installation) -> None:
    for program in (installation.web, installation.worker):
        program.stop(60)


@pytest.fixture
def monitoring(
    ports: tuple[int, int],
    installation: Installation,
    slack: Vendor,
    pagerduty: Vendor,
    tmp_path: Path,
    binary: Callable[[str], str],
) -> Iterator[Monitoring]:
    """Prometheus and Alertmanager, whom the worker asks, and a rule that always fires."""
    elsewhere = "/by-alertmanager"
    running = Monitoring(
        tmp_path,
        installation.port,
        binary,
        slack_url=slack.url + elsewhere,
        pagerduty_url=pagerduty.url + elsewhere,
        ports=ports,
    )
    add_rule(tmp_path / "prometheus" / "rules" / "alert_rules.yml")
    running.start()
    yield running
    resume(running.prometheus)
    running.stop()
    for name in ("prometheus", "alertmanager"):
        sys.stdout.write(f"--- {name}\n{running.log(name)}\n")


def add_rule(file: Path) -> None:
    rules = yaml.safe_load(file.read_text())
    rules["groups"].append({"name": "test", "rules": [ALWAYS_FIRES]})
    file.write_text(yaml.safe_dump(rules))


def reload(monitoring: Monitoring, rules: list[dict[str, Any]], targets: list[str]) -> None:
    """Gives Prometheus other rules in the group of the tests, and other targets of the job `doomed`."""
    folder = monitoring.folder / "prometheus"
    configuration = yaml.safe_load((folder / "prometheus.yml").read_text())
    jobs = [job for job in configuration["scrape_configs"] if job["job_name"] != "doomed"]
    doomed = {"job_name": "doomed", "scrape_interval": "1s", "static_configs": [{"targets": targets}]}
    configuration["scrape_configs"] = [*jobs, doomed]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    file = folder / "rules" / "alert_rules.yml"
    content = yaml.safe_load(file.read_text())
    groups = [group for group in content["groups"] if group["name"] != "test"]
    content["groups"] = [*groups, {"name": "test", "rules": rules}]
    file.write_text(yaml.safe_dump(content))
    assert monitoring.prometheus.process is not None
    monitoring.prometheus.process.send_signal(signal.SIGHUP)


def send(monitoring: Monitoring, start: datetime, end: datetime | None = None) -> None:
    """What a Prometheus or a ruler posts to Alertmanager."""
    alert = {"labels": LABELS, "startsAt": start.isoformat()}
    alert["endsAt"] = (end or datetime.now(UTC) + timedelta(hours=1)).isoformat()
    answer = requests.post(
        f"{monitoring.alertmanager_url}/api/v2/alerts", json=[alert], timeout=ANSWER_SECONDS
    )
    assert answer.status_code == 200, answer.text


def states(installation: Installation, alertname: str) -> list[tuple[Any, ...]]:
    """(status, whether its end is unconfirmed) of each episode."""
    return installation.rows(
        "SELECT status, unconfirmed_at IS NOT NULL FROM observability_episode"
        " WHERE alertname = %s ORDER BY id",
        alertname,
    )


def become(installation: Installation, alertname: str, *expected: tuple[str, bool]) -> None:
    assert wait_until(lambda: states(installation, alertname) == list(expected)), (
        states(installation, alertname),
        installation.log("worker"),
    )


def become_paged(installation: Installation, pagerduty: Vendor, alertname: str = "DiskIsFull") -> None:
    """An alert that ends before its page was sent sends none: the page comes first."""
    become(installation, alertname, ("firing", False))
    assert wait_until(lambda: pages(installation, pagerduty, alertname) == ["trigger"]), installation.log(
        "worker"
    )


def pages(installation: Installation, pagerduty: Vendor, alertname: str) -> list[str]:
    """What PagerDuty received from Amani about the incidents of one alert."""
    installation.await_settled()
    keys = installation.rows("SELECT dedup_key FROM observability_episode WHERE alertname = %s", alertname)
    return [event["event_action"] for event in pagerduty.bodies() if (event.get("dedup_key"),) in keys]


def test_alert_that_starts_later_after_a_restart_of_alertmanager_is_one_incident(
    installation: Installation, monitoring: Monitoring, pagerduty: Vendor
) -> None:
    first = datetime.now(UTC) - timedelta(minutes=10)
    send(monitoring, first)
    become_paged(installation, pagerduty)
    monitoring.alertmanager.stop(60)
    monitoring.alertmanager.start()
    assert wait_until(lambda: monitoring_answers(monitoring)), monitoring.log("alertmanager")

    second = datetime.now(UTC) - timedelta(minutes=1)
    send(monitoring, second)
    send(monitoring, second, end=datetime.now(UTC))
    become(installation, "DiskIsFull", ("resolved", False))
    assert pages(installation, pagerduty, "DiskIsFull") == ["trigger", "resolve"]


def test_alert_that_a_second_replica_started_earlier_is_one_incident(
    installation: Installation, monitoring: Monitoring, pagerduty: Vendor
) -> None:
    now = datetime.now(UTC)
    send(monitoring, now - timedelta(minutes=1))
    become_paged(installation, pagerduty)
    send(monitoring, now - timedelta(minutes=5))
    send(monitoring, now - timedelta(minutes=5), end=datetime.now(UTC))
    become(installation, "DiskIsFull", ("resolved", False))
    assert pages(installation, pagerduty, "DiskIsFull") == ["trigger", "resolve"]


def test_alerts_stay_open_while_prometheus_hangs_and_end_when_it_can_say_so(
    installation: Installation, monitoring: Monitoring, slack: Vendor, pagerduty: Vendor
) -> None:
    """One alert is Prometheus's own and fires on; the other comes from elsewhere, and no rule knows it."""
    send(monitoring, datetime.now(UTC))
    become_paged(installation, pagerduty)
    become(installation, "AlwaysFires", ("firing", False))

    pause(monitoring.prometheus)
    assert wait_until(lambda: not prometheus_was_heard(installation)), installation.log("worker")
    send(monitoring, datetime.now(UTC), end=datetime.now(UTC))
    become(installation, "AlwaysFires", ("firing", True))
    become(installation, "DiskIsFull", ("firing", True))
    assert pages(installation, pagerduty, "AlwaysFires") == ["trigger"]
    assert pages(installation, pagerduty, "DiskIsFull") == ["trigger"]
    assert wait_until(lambda: said(slack, "END NOT CONFIRMED") == {"AlwaysFires", "DiskIsFull"})
    assert said(slack, "RESOLVED") == set()

    resume(monitoring.prometheus)
    become(installation, "AlwaysFires", ("firing", False))
    become(installation, "DiskIsFull", ("resolved", False))
    assert pages(installation, pagerduty, "AlwaysFires") == ["trigger"]
    assert pages(installation, pagerduty, "DiskIsFull") == ["trigger", "resolve"]


def test_a_target_that_vanished_and_a_rule_that_was_deleted_are_told_as_that_and_close_no_incident(
    installation: Installation, monitoring: Monitoring, slack: Vendor, pagerduty: Vendor
) -> None:
    reload(monitoring, [ALWAYS_FIRES, TARGET_IS_DOWN], ["127.0.0.1:9"])  # the port of "discard": closed
    alertnames = ("AlwaysFires", "TargetIsDown")
    for alertname in alertnames:
        become_paged(installation, pagerduty, alertname)

    reload(monitoring, [TARGET_IS_DOWN], [])
    for alertname in alertnames:
        become(installation, alertname, ("resolved", False))
    assert wait_until(lambda: said(slack, "NO LONGER FIRING") == set(alertnames)), installation.log("worker")
    assert said(slack, "RESOLVED") == set()
    assert [pages(installation, pagerduty, alertname) for alertname in alertnames] == [["trigger"]] * 2
    assert installation.rows(
        "SELECT alertname, ending FROM observability_episode WHERE alertname = ANY(%s) ORDER BY alertname",
        list(alertnames),
    ) == [("AlwaysFires", "rule_gone"), ("TargetIsDown", "vanished")]


def monitoring_answers(monitoring: Monitoring) -> bool:
    try:
        url = f"{monitoring.alertmanager_url}/-/ready"
        return requests.get(url, timeout=ANSWER_SECONDS).status_code == 200
    except requests.RequestException:
        return False


def prometheus_was_heard(installation: Installation) -> bool:
    """Whether the sign of life is recent enough for a resolve to be believed."""
    return installation.rows(
        "SELECT last_seen_at > now() - make_interval(secs => 3)"
        " FROM observability_heartbeat WHERE name = 'prometheus'"
    ) == [(True,)]


def said(slack: Vendor, words: str) -> set[str]:
    """The alerts of which Amani said `words` to Slack."""
    texts = [message["text"] for message in slack.bodies() if words in str(message.get("text"))]
    return {name for name in ("AlwaysFires", "DiskIsFull", "TargetIsDown") for text in texts if name in text}
