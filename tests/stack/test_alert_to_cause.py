"""From an alert to its failing trace and to its error: a request queues a task, which fails.

Prometheus, Alertmanager, web, worker, OTLP receiver and Sentry server are real; Slack is a stand-in.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from local import monitoring as programs
from local.processes import wait_until
from local.services import PrivatePostgres
from observability.tests.otlp_spans import Span
from observability.tests.vendors import SLACK_OK, Vendor
from tests.installation import Installation, run_command
from tests.stack.bugsink import USER, Bugsink, Event
from tests.stack.monitoring import Monitoring
from tests.stack.observed import ROUTE, TASK, Observed, observed

pytestmark = [pytest.mark.stack, pytest.mark.processes, pytest.mark.needs("prometheus", "alertmanager")]

PATIENCE_SECONDS = 30.0
REQUEST_ID = "request-that-fails-later"
EMAIL, PASSWORD = "viewer@example.com", "correct horse battery"
MAKE_VIEWER = f"""
from django.contrib.auth.models import Group
from accounts.models import User
viewer = User.objects.create_user({EMAIL!r}, {PASSWORD!r}, full_name="A Viewer", is_staff=True)
viewer.groups.add(Group.objects.get(name="viewer"))
"""
NEVER_FAILED = f'sum(amani_celery_tasks_total{{job="amani", task="{TASK}", outcome="failure"}}) == 0'


@dataclass(frozen=True)
class Found:
    """What somebody finds who is told of the alert."""

    installation: Installation
    bugsink: Bugsink
    spans: list[Span]
    events: list[Event]
    message: str
    page: str
    samples: str

    @property
    def trace_id(self) -> str:
        """Of the request, as the collector was told."""
        (span,) = [span for span in self.spans if span.name == f"GET {ROUTE}"]
        return span.trace_id

    def link(self, words: str) -> str:
        """The address behind these words on the alert's page."""
        (address,) = re.findall(rf'<a href="([^"]*)"[^>]*>{re.escape(words)}</a>', self.page)
        return html.unescape(address)


@pytest.fixture(scope="module")
def found(
    own_postgres: PrivatePostgres, bugsink: Bugsink, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Found]:
    folder, slack = tmp_path_factory.mktemp("cause"), Vendor(SLACK_OK)
    with observed(folder, own_postgres, bugsink, "alert_to_cause") as everything:
        watch = Monitoring(
            tmp_path_factory.mktemp("monitoring"),
            everything.installation.port,
            program,
            slack_url=f"{slack.url}/by-alertmanager",
            pagerduty_url=f"{slack.url}/by-alertmanager",
        )
        everything.installation.environment.update(
            PROMETHEUS_URL=watch.prometheus_url,
            SLACK_WEBHOOK_URL=f"{slack.url}/by-amani",
            PAGERDUTY_API_KEY="",
            SENTRY_URL=f"{bugsink.url}/issues/{everything.project.number}/",
            STATIC_ROOT=str(folder / "static"),
        )
        watch.start()
        try:
            yield follow(everything, watch, slack, bugsink)
        finally:
            watch.stop()
            slack.close()


def program(name: str) -> str:
    path = programs.find_program(name)
    assert path is not None
    return path


def follow(everything: Observed, watch: Monitoring, slack: Vendor, bugsink: Bugsink) -> Found:
    installation = everything.installation
    everything.start()
    for command in (["collectstatic", "--noinput"], ["shell", "-c", MAKE_VIEWER]):
        done = run_command(installation, *command)
        assert done.returncode == 0, done.stderr
    assert wait_until(lambda: watch.value(NEVER_FAILED) is not None, PATIENCE_SECONDS), watch.log(
        "prometheus"
    )
    asked = requests.get(f"{installation.url}{ROUTE}", headers={"X-Request-ID": REQUEST_ID}, timeout=10)
    assert asked.status_code == 200
    message = await_message(slack, watch)
    page, samples = look(installation, message)
    everything.project.wait_for_event(seconds=PATIENCE_SECONDS)
    return Found(
        installation=installation,
        bugsink=bugsink,
        spans=everything.receiver.wait_for(
            lambda spans: {f"GET {ROUTE}", f"run/{TASK}"} <= {span.name for span in spans}, PATIENCE_SECONDS
        ),
        events=everything.project.events(),
        message=message,
        page=page,
        samples=samples,
    )


def await_message(slack: Vendor, watch: Monitoring) -> str:
    """What Amani said about the alert, as JSON."""

    def messages() -> list[str]:
        with slack.lock:
            said = [json.dumps(one.body) for one in slack.received if one.path.endswith("/by-amani")]
        return [text for text in said if "TasksFailing" in text]

    assert wait_until(lambda: bool(messages()), PATIENCE_SECONDS), watch.alerts()
    return messages()[0]


def look(installation: Installation, message: str) -> tuple[str, str]:
    """The alert's page, opened by the link in the message, and the samples that it loads."""
    address = re.search(rf"{re.escape(installation.url)}/admin/observability/episode/\d+/change/", message)
    assert address is not None, message
    with requests.Session() as session:
        page = open_page(session, address[0], EMAIL, PASSWORD)
        part = re.search(r'data-load="([^"]+)"', page)
        assert part is not None, page
        fetch = {"X-Requested-With": "fetch"}
        samples = session.get(f"{installation.url}{part[1]}", headers=fetch, timeout=10)
    assert samples.status_code == 200
    return page, samples.text


def open_page(session: requests.Session, address: str, user: str, password: str) -> str:
    """Whose visitors have to sign in first."""
    login = session.get(address, timeout=10)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', login.text)
    assert token is not None, login.text
    sign_in = {"username": user, "password": password, "csrfmiddlewaretoken": token[1]}
    page = session.post(login.url, data=sign_in, headers={"Referer": login.url}, timeout=10)
    assert (page.status_code, page.url != login.url) == (200, True), page.text
    return page.text


def test_the_alert_names_the_task(found: Found) -> None:
    assert f"Task {TASK} fails" in found.message
    assert found.installation.rows(
        "SELECT labels ->> 'task', status FROM observability_episode WHERE alertname = 'TasksFailing'"
    ) == [(TASK, "firing")]


def test_its_samples_are_exactly_the_trace_of_the_request_whose_task_failed(found: Found) -> None:
    assert re.findall(r'href="([^"]*/trace/[^"]*)"', found.samples) == [
        f"http://localhost:16686/trace/{found.trace_id}"
    ]
    words = " ".join(re.sub(r"<[^>]+>", " ", found.samples).split())
    assert re.match(rf"Trace {found.trace_id[:8]} failure \S+ {re.escape(TASK)} log lines", words), words
    assert REQUEST_ID in words


def test_its_page_leads_to_the_search_for_failed_runs_of_the_task(found: Found) -> None:
    address = urlsplit(found.link(f"Failed runs of {TASK} in Jaeger"))
    assert address._replace(query="").geturl() == "http://localhost:16686/search"
    asked = parse_qs(address.query)
    assert json.loads(asked["tags"][0]) == {"celery.task_name": TASK, "error": "true"}
    (run,) = [span for span in found.spans if span.name == f"run/{TASK}"]
    assert int(asked["start"][0]) * 1000 < run.started < run.ended < int(asked["end"][0]) * 1000


def test_its_page_leads_to_the_errors_of_the_task(found: Found) -> None:
    address = found.link("Issues in Sentry")
    assert parse_qs(urlsplit(address).query)["query"] == [f'transaction:"{TASK}"']
    with requests.Session() as session:
        issues = open_page(session, address, USER, found.bugsink.password)
    assert "This task fails on purpose." in issues


def test_the_error_is_one_event_with_the_same_trace_and_request(found: Found) -> None:
    (event,) = found.events
    assert event["contexts"]["trace"]["trace_id"] == found.trace_id
    assert event["tags"]["request_id"] == REQUEST_ID
    assert event["transaction"] == TASK
