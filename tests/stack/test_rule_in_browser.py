"""An operator owns a rule from the console: asks what another threshold would have done, tunes and publishes
it, sees it fire, goes back, and silences it.

Prometheus, Alertmanager, web, worker and beat are real, and the operator uses a real browser. Slack is a
stand-in.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from local.ports import find_free_port
from local.services import PrivatePostgres, PrivateValkey
from observability.tests.vendors import SLACK_OK, Vendor
from observability.tests.waiting import ANSWER_SECONDS, wait_until
from tests.console_browser import PASSWORD, sign_in, watch
from tests.installation import Installation, run_command
from tests.stack.monitoring import Monitoring
from tests.stack.test_alert_to_cause import program

pytestmark = [
    pytest.mark.stack,
    pytest.mark.processes,
    pytest.mark.needs("prometheus", "alertmanager", "chromium"),
]

NAME = "DatabaseBusy"
# Over minutes: a scrape that fails on a busy machine would end the alert before its rule is changed.
RULES = f"""
groups:
  - name: browser
    rules:
      - alert: {NAME}
        expr: sum by (job) (max_over_time(db_connections_active{{job="amani"}}[5m])) > 80
        for: 1m
        labels: {{severity: warning, service: amani}}
        annotations: {{summary: Many connections of PostgreSQL are open}}
"""
MAKE_OPERATOR = f"""
from django.contrib.auth.models import Group
from accounts.models import User
ada = User.objects.create_user("ada@example.com", {PASSWORD!r}, full_name="Ada Abara", is_staff=True)
ada.groups.set(Group.objects.filter(name__in=["approver", "responder"]))
"""


@dataclass(frozen=True)
class Console:
    installation: Installation
    monitoring: Monitoring
    slack: Vendor

    def bodies(self) -> list[str]:
        """The messages about the alert, whole, oldest first."""
        with self.slack.lock:
            received = [json.dumps(message.body, ensure_ascii=False) for message in self.slack.received]
        return [body for body in received if NAME in body]

    def expression(self) -> str:
        """What Prometheus has loaded; "" without the rule."""
        found = [rule["query"] for rule in self.monitoring.rules() if rule["name"] == NAME]
        return str(found[0]) if found else ""


@pytest.fixture
def console(own_postgres: PrivatePostgres, tmp_path: Path) -> Iterator[Console]:
    own_postgres.start()
    with psycopg.connect(own_postgres.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE rule_in_browser OWNER amani")
    valkey, slack = PrivateValkey(tmp_path / "valkey", find_free_port()), Vendor(SLACK_OK)
    (tmp_path / "installation").mkdir()
    installation = Installation(tmp_path / "installation", own_postgres, valkey, "rule_in_browser")
    by_alertmanager = f"{slack.url}/by-alertmanager"
    monitoring = Monitoring(
        tmp_path, installation.port, program, slack_url=by_alertmanager, pagerduty_url=by_alertmanager
    )
    folder = tmp_path / "prometheus" / "rules"
    for shipped in folder.glob("*.yml"):
        shipped.unlink()  # from here on Amani writes the rules
    installation.environment.update(
        STATIC_ROOT=str(tmp_path / "static"),
        PROMETHEUS_URL=monitoring.prometheus_url,
        PROMETHEUS_SETTLES_IN_SECONDS="1",
        ALERTMANAGER_URL=monitoring.alertmanager_url,
        SLACK_WEBHOOK_URL=slack.url,
        PAGERDUTY_API_KEY="",
    )
    try:
        prepare(installation, tmp_path)
        installation.environment["ALERT_RULES_FOLDER"] = str(folder)
        monitoring.start()
        installation.start()
        assert wait_until(monitoring.knows_alertmanager), monitoring.log("prometheus")
        yield Console(installation, monitoring, slack)
        for name in ("web", "worker"):  # pytest shows this when the test failed
            sys.stdout.write(f"--- {name}\n{installation.log(name)}\n")
    finally:
        monitoring.stop()
        installation.stop()
        valkey.remove()
        slack.close()


def prepare(installation: Installation, folder: Path) -> None:
    """Ships one rule, so that publishing waits for no group that is evaluated every two minutes."""
    installation.valkey.start()
    installation.migrate()
    (folder / "shipped").mkdir()
    (folder / "shipped" / "rules.yml").write_text(RULES)
    for command in (
        ("collectstatic", "--noinput"),
        ("sync_alert_rules", "--folder", str(folder / "shipped")),
        ("shell", "--command", MAKE_OPERATOR),
    ):
        done = run_command(installation, *command)
        assert done.returncode == 0, done.stderr


def test_a_rule_is_tuned_published_seen_to_fire_taken_back_and_silenced(
    console: Console, browser: Browser
) -> None:
    page = browser.new_page()
    complaints = watch(page, console.installation.url)
    sign_in(page, console.installation.url)
    publish(page, console, "The first version.")
    assert console.expression().endswith("> 80")

    preview(page, console)
    tune(page, console, threshold="0", holds="0s")
    publish(page, console, "Every connection counts today.")
    assert console.expression().endswith("> 0")
    assert wait_until(lambda: len(console.bodies()) == 1), console.monitoring.alerts()
    assert "WARNING" in console.bodies()[0]
    open_alert(page, console)
    expect(page.get_by_text("> 0").first).to_be_visible()

    go_back(page, console)
    assert console.expression().endswith("> 80")
    assert wait_until(lambda: len(console.bodies()) == 2), console.monitoring.alerts()
    assert "changed while the alert fired" in console.bodies()[-1]

    silence(page, console)
    assert wait_until(lambda: silenced(console) == [NAME])
    assert complaints == []


def publish(page: Page, console: Console, reason: str) -> None:
    page.goto(f"{console.installation.url}/admin/observability/rulesversion/")
    page.get_by_role("link", name="Look and publish").click()
    page.get_by_label("Why").fill(reason)
    page.get_by_role("button", name="Publish").click()
    await_published(page, console)


def await_published(page: Page, console: Console) -> None:
    expect(page.get_by_text("is stored. The worker publishes it now.")).to_be_visible()
    newest = "SELECT state, last_error FROM observability_rulesversion ORDER BY number DESC LIMIT 1"

    def has_ended() -> bool:
        return console.installation.rows(newest)[0][0] not in {"waiting", "publishing"}

    assert wait_until(has_ended), console.installation.rows(newest)
    assert console.installation.rows(newest) == [("published", "")]
    page.reload()
    expect(page.locator(".am-hero .am-mark").first).to_contain_text("Published")


def preview(page: Page, console: Console) -> None:
    """This Prometheus is too young for an answer about a day, which the page has to say."""
    page.goto(f"{console.installation.url}/admin/observability/alertrule/")
    page.get_by_role("link", name=NAME).click()
    page.get_by_role("link", name="What would have happened?").click()
    page.locator("select[name=days]").select_option("1")
    page.locator("input[name=threshold]").fill("0")
    page.get_by_role("button", name="Compute").click()
    answer = re.compile("Prometheus (is too young|has no data of the last day)")
    expect(page.get_by_text(answer)).to_be_visible()


def tune(page: Page, console: Console, *, threshold: str, holds: str) -> None:
    page.goto(f"{console.installation.url}/admin/observability/alertrule/")
    page.get_by_role("link", name=NAME).click()
    page.get_by_role("link", name="Tune", exact=True).click()
    page.get_by_label("Threshold").fill(threshold)
    page.get_by_label("For", exact=True).fill(holds)
    page.get_by_label("Reason").fill("A test of the pool.")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Tuning")).to_be_visible()


def go_back(page: Page, console: Console) -> None:
    page.goto(f"{console.installation.url}/admin/observability/rulesversion/")
    page.get_by_role("link", name=re.compile("Version 1$")).click()
    page.get_by_role("link", name="Go back to this version").click()
    page.get_by_label("Why").fill("Enough seen.")
    page.get_by_role("button", name="Go back to version 1").click()
    await_published(page, console)


def open_alert(page: Page, console: Console) -> None:
    page.goto(f"{console.installation.url}/admin/observability/episode/?q={NAME}")
    page.get_by_role("link", name=re.compile(NAME)).first.click()


def silence(page: Page, console: Console) -> None:
    open_alert(page, console)
    page.get_by_role("link", name="Silence", exact=True).click()
    page.get_by_label("Reason").fill("The pool is rebuilt.")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.get_by_text("The pool is rebuilt.").first).to_be_visible()


def silenced(console: Console) -> list[str]:
    """The names of alerts that Alertmanager's active silences are about."""
    address = f"{console.monitoring.alertmanager_url}/api/v2/silences"
    silences = requests.get(address, timeout=ANSWER_SECONDS).json()
    return [
        matcher["value"]
        for one in silences
        if one["status"]["state"] == "active"
        for matcher in one["matchers"]
        if matcher["name"] == "alertname"
    ]
