"""Two real Alertmanagers of a cluster that has fallen apart: each sends every alert, at the same time."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from pytest_django.live_server_helper import LiveServer

from local.children import Program
from observability.alerts.delivery import drain
from observability.models import Episode, Receipt
from observability.tests.conftest import TOKEN
from observability.tests.vendors import Vendor
from observability.tests.waiting import ANSWER_SECONDS, wait_until

pytestmark = [
    pytest.mark.needs("alertmanager"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("channels"),
]
ALERTS = 10


class Member(Program):
    """An Alertmanager without peers, which posts each alert by itself."""

    def __init__(self, name: str, program: str, port: int, folder: Path, webhook: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        folder.mkdir()
        receiver = {"url": webhook, "http_config": {"authorization": {"credentials": TOKEN}}}
        configuration = {
            "route": {"receiver": "amani", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"},
            "receivers": [{"name": "amani", "webhook_configs": [receiver]}],
        }
        (folder / "alertmanager.yml").write_text(json.dumps(configuration))  # JSON is YAML
        command = [program, "--config.file=alertmanager.yml", "--storage.path=data"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        output = os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600)
        super().__init__(name, command, output=output, environment={}, folder=folder)

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", timeout=ANSWER_SECONDS).status_code == 200
        except requests.RequestException:
            return False

    def take(self, alerts: list[dict[str, Any]]) -> None:
        answer = requests.post(f"{self.url}/api/v2/alerts", json=alerts, timeout=ANSWER_SECONDS)
        assert answer.status_code == 200, answer.text


@pytest.fixture
def members(
    live_server: LiveServer, free_port: Callable[[], int], binary: Callable[[str], str], tmp_path: Path
) -> Iterator[list[Member]]:
    webhook = f"{live_server.url}/api/v1/alerts/webhook"
    started = [
        Member(name, binary("alertmanager"), free_port(), tmp_path / name, webhook) for name in ("one", "two")
    ]
    for member in started:
        member.start()
    assert all(wait_until(member.is_ready) for member in started)
    yield started
    for member in started:
        member.stop()
        os.close(member.output)
        sys.stdout.write(f"--- {member.name}\n{(member.folder / 'log').read_text()[-2000:]}\n")


def send_to_all(members: list[Member], *, ends: timedelta) -> None:
    """As Prometheus does, which posts every alert to every Alertmanager."""
    now = datetime.now(UTC)
    alerts = [
        {
            "labels": {"alertname": "DiskIsFull", "severity": "critical", "instance": f"db-{number}"},
            "startsAt": (now - timedelta(hours=1)).replace(minute=0, second=0, microsecond=0).isoformat(),
            "endsAt": (now + ends).isoformat(),
        }
        for number in range(ALERTS)
    ]
    with ThreadPoolExecutor(len(members)) as pool:
        list(pool.map(lambda member: member.take(alerts), members))


def pages(pagerduty: Vendor) -> dict[str, list[str]]:
    """What PagerDuty was told of each incident, in order."""
    drain("pagerduty")
    told: dict[str, list[str]] = {}
    for event in pagerduty.bodies():
        told.setdefault(event["dedup_key"], []).append(event["event_action"])
    return told


def test_an_alert_that_both_send_is_one_episode_and_one_page(
    members: list[Member], pagerduty: Vendor
) -> None:
    send_to_all(members, ends=timedelta(hours=1))
    assert wait_until(lambda: Receipt.objects.count() == 2 * ALERTS)
    assert list(pages(pagerduty).values()) == [["trigger"]] * ALERTS

    send_to_all(members, ends=-timedelta(seconds=1))
    assert wait_until(lambda: Receipt.objects.count() == 4 * ALERTS)
    assert list(pages(pagerduty).values()) == [["trigger", "resolve"]] * ALERTS
    assert list(Episode.objects.values_list("status", flat=True)) == ["resolved"] * ALERTS
