"""Every row of the table "Signs of life" has a test of the time before the first sign and after a pause."""

import ast
import re
from datetime import timedelta

import pytest
from celery.beat import ScheduleEntry
from celery.schedules import schedule
from django.conf import settings
from django.utils import timezone

from amani.celery import app
from observability import metrics
from observability.telemetry import celery_signals
from tests.rule_files import PROMETHEUS, ROOT, alerts, load, rules

INSTALLED = "Right after an installation no sign of life is missed yet; four minutes later each is"
PAUSED = (
    "Amani that starts again after an hour shows old signs, or none, and pages nobody before they can come"
)
# Sign → (test of the time before the first, test of the time after a pause).
TESTS = {
    "web answers a scrape": (
        "Without exemption: an application that is not there after a start is down within a minute",
        PAUSED,
    ),
    "PostgreSQL and Redis": (
        "test_a_scrape_says_that_postgresql_does_not_answer",
        "test_a_scrape_says_that_redis_does_not_answer",
    ),
    "beat": ("beat that never came is named, not the worker", PAUSED),
    "worker": (INSTALLED, "A worker that does not come back after a pause is reported"),
    "worker, as health and the start page see it": (
        "test_signs_of_life_before_anything_happened",
        "test_silence_is_bad_and_says_how_long",
    ),
    "Watchdog": (
        "test_watchdog_that_never_arrived_is_reported_after_the_first_timeout",
        "test_start_after_an_hours_pause_causes_no_page_while_the_watchdog_may_still_arrive",
    ),
    "alerts counted": (INSTALLED, PAUSED),
    "KYC queue counted": (INSTALLED, PAUSED),
    "ledger checked, escrows counted": (INSTALLED, PAUSED),
    'gauges "from the snapshot"': (INSTALLED, PAUSED),
    "tasks of beat's schedule": (
        "test_every_task_is_exported_at_zero_from_the_start_of_the_worker",
        "test_what_was_missed_in_a_pause_runs_once",
    ),
    "Prometheus's API, asked by the worker": (
        "test_without_a_prometheus_that_ever_answered_resolves_are_accepted_unchecked",
        "test_prometheus_that_has_just_come_back_is_not_believed_yet",
    ),
    "last receipt": (
        "test_signs_of_life_before_anything_happened",
        "test_silence_is_bad_and_says_how_long",
    ),
}


def signs() -> list[str]:
    section = (ROOT / "docs/operations.md").read_text().partition("## Signs of life")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return [re.sub(r" \(.*\)$", "", row) for row in rows if row != "sign"]


def known_tests() -> set[str]:
    promtool = {
        case.get("name", "") for file in (PROMETHEUS / "tests").glob("*.yml") for case in load(file)["tests"]
    }
    files = [*(ROOT / "observability" / "tests").glob("test_*.py"), *(ROOT / "tests").glob("test_*.py")]
    functions = {
        node.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    return promtool | functions


def test_every_sign_of_life_has_a_test_of_its_beginning_and_of_a_pause() -> None:
    assert signs() == list(TESTS)
    assert {name for pair in TESTS.values() for name in pair} - known_tests() == set()


def test_every_rule_about_the_age_of_a_sign_waits_until_amani_has_run_for_a_while() -> None:
    about_age = [alert for alert in alerts() if re.search(r"time\(\) - ", alert["expr"])]
    assert {alert["alert"] for alert in about_age} == {
        "AlertWorkerGone",
        "AlertBeatGone",
        "AlertSnapshotStale",
        "EscrowSnapshotStale",
        "KycSnapshotStale",
    }
    assert [a["alert"] for a in about_age if 'job:amani_up:earlier{job="amani"} == 1' not in a["expr"]] == []
    assert "job:amani_up:earlier" in [rule.get("record") for rule in rules()]


def test_every_time_that_is_exported_has_a_row() -> None:
    times = {
        family.name for family in metrics.REGISTRY.collect() if family.name.endswith("_timestamp_seconds")
    }
    text = (ROOT / "docs/operations.md").read_text()
    assert {name for name in times if f"`{name}`" not in text} == set()


def test_beat_shows_that_it_lives_before_each_task_that_it_queues() -> None:
    name = "amani_beat_heartbeat_timestamp_seconds"
    before = timezone.now().timestamp()
    celery_signals.show_beat()
    assert (metrics.REGISTRY.get_sample_value(name) or 0) >= before


def test_every_task_is_exported_at_zero_from_the_start_of_the_worker() -> None:
    metrics.show_tasks(["sample.never_run"])
    labels = {"task": "sample.never_run", "outcome": "failure"}
    assert metrics.REGISTRY.get_sample_value("amani_celery_tasks_total", labels) == 0


@pytest.mark.parametrize("name", sorted(settings.CELERY_BEAT_SCHEDULE))
def test_what_was_missed_in_a_pause_runs_once(name: str) -> None:
    every = settings.CELERY_BEAT_SCHEDULE[name]["schedule"]
    assert isinstance(every, timedelta)
    stopped_at = app.now() - 12 * every - timedelta(hours=1)
    entry = ScheduleEntry(name=name, schedule=schedule(every, app=app), last_run_at=stopped_at, app=app)
    assert entry.is_due()[0] is True
    assert next(entry).is_due()[0] is False
