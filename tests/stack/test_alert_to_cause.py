"""From an alert to its failing trace and to its error: a request's task fails, then requests themselves.

Prometheus, Alertmanager, web, worker, OTLP receiver and Sentry server are real; Slack is a stand-in.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from local import monitoring as programs
from local.services import PrivatePostgres
from observability.tests.otlp_spans import Span
from observability.tests.vendors import SLACK_OK, Vendor
from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS, wait_until
from tests.installation import Installation, run_command
from tests.stack.bugsink import USER, Bugsink
from tests.stack.monitoring import Monitoring
from tests.stack.observed import ROUTE, TASK, Observed, observed

pytestmark = [pytest.mark.stack, pytest.mark.processes, pytest.mark.needs("prometheus", "alertmanager")]

REQUEST_ID = "request-that-fails-later"
EMAIL, PASSWORD = "viewer@example.com", "correct horse battery"
MAKE_VIEWER = f"""
from django.contrib.auth.models import Group
from accounts.models import User
viewer = User.objects.create_user({EMAIL!r}, {PASSWORD!r}, full_name="A Viewer", is_staff=True)
viewer.groups.add(Group.objects.get(name="viewer"))
"""
# A counter that is seen at 0 before it grows; the recorded total of requests needs some scrapes too.
NEVER_FAILED = f'sum(amani_celery_tasks_total{{job="amani", task="{TASK}", outcome="failure"}}) == 0'
REQUESTS_COUNTED = 'sum(instance:amani_http_requests:sum{job="amani"})'


@dataclass(frozen=True)
class Page:
    """What an operator sees after a click on the link in the message about an alert."""

    message: str
    page: str
    samples: str

    def link(self, words: str) -> str:
        """The address behind these words on the alert's page."""
        (address,) = re.findall(rf'<a href="([^"]*)"[^>]*>{re.escape(words)}</a>', self.page)
        return html.unescape(address)

    @property
    def traces(self) -> list[str]:
        return re.findall(r'href="http://localhost:16686/trace/([^"]*)"', self.samples)

    @property
    def words(self) -> str:
        """What the samples say."""
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", self.samples)).split())


@dataclass(frozen=True)
class Loop:
    everything: Observed
    monitoring: Monitoring
    slack: Vendor

    @property
    def installation(self) -> Installation:
        return self.everything.installation

    def messages(self, alertname: str) -> list[str]:
        """What Amani said to Slack about the alert, as JSON."""
        with self.slack.lock:
            said = [json.dumps(one.body) for one in self.slack.received if one.path.endswith("/by-amani")]
        return [text for text in said if alertname in text]

    def await_page(self, alertname: str) -> Page:
        """The alert's page, opened by the link in the message, and the samples that it loads."""
        assert wait_until(lambda: bool(self.messages(alertname))), self.monitoring.alerts()
        message, url = self.messages(alertname)[0], self.installation.url
        address = re.search(rf"{re.escape(url)}/admin/observability/episode/\d+/change/", message)
        assert address is not None, message
        with requests.Session() as session:
            page = open_page(session, address[0], EMAIL, PASSWORD)
            part = re.search(r'data-load="([^"]+)"', page)
            assert part is not None, page
            samples = session.get(
                f"{url}{part[1]}", headers={"X-Requested-With": "fetch"}, timeout=ANSWER_SECONDS
            )
        assert samples.status_code == 200
        return Page(message, page, samples.text)

    def await_spans(self, *names: str) -> list[Span]:
        return self.everything.receiver.wait_for(
            lambda spans: set(names) <= {span.name for span in spans}, PATIENCE_SECONDS
        )


def open_page(session: requests.Session, address: str, user: str, password: str) -> str:
    """Whose visitors have to sign in first."""
    login = session.get(address, timeout=ANSWER_SECONDS)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', login.text)
    assert token is not None, login.text
    name = "login" if 'name="login"' in login.text else "username"  # Amani's field, Bugsink's
    sign_in = {name: user, "password": password, "csrfmiddlewaretoken": token[1]}
    page = session.post(login.url, data=sign_in, headers={"Referer": login.url}, timeout=ANSWER_SECONDS)
    assert (page.status_code, page.url != login.url) == (200, True), page.text
    return page.text


@pytest.fixture(scope="module")
def loop(
    own_postgres: PrivatePostgres, bugsink: Bugsink, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loop]:
    folder, slack = tmp_path_factory.mktemp("cause"), Vendor(SLACK_OK)
    with observed(folder, own_postgres, bugsink, "alert_to_cause") as everything:
        monitoring = Monitoring(
            tmp_path_factory.mktemp("monitoring"),
            everything.installation.port,
            program,
            slack_url=f"{slack.url}/by-alertmanager",
            pagerduty_url=f"{slack.url}/by-alertmanager",
        )
        everything.installation.environment.update(
            PROMETHEUS_URL=monitoring.prometheus_url,
            SLACK_WEBHOOK_URL=f"{slack.url}/by-amani",
            PAGERDUTY_API_KEY="",
            SENTRY_URL=f"{bugsink.url}/issues/{everything.project.number}/",
            STATIC_ROOT=str(folder / "static"),
        )
        try:
            monitoring.start()
            start(everything, monitoring)
            yield Loop(everything, monitoring, slack)
        finally:
            monitoring.stop()
            slack.close()


def program(name: str) -> str:
    path = programs.find_program(name)
    assert path is not None
    return path


def start(everything: Observed, monitoring: Monitoring) -> None:
    everything.start()
    for command in (["collectstatic", "--noinput"], ["shell", "-c", MAKE_VIEWER]):
        done = run_command(everything.installation, *command)
        assert done.returncode == 0, done.stderr

    def is_watched() -> bool:
        return None not in (monitoring.value(NEVER_FAILED), monitoring.value(REQUESTS_COUNTED))

    assert wait_until(is_watched), monitoring.log("prometheus")


# --- A task that a request queued ---


@pytest.fixture(scope="module")
def trace_id(loop: Loop) -> str:
    """The trace of a request whose task failed, as the collector has it."""
    asked = requests.get(
        f"{loop.installation.url}{ROUTE}", headers={"X-Request-ID": REQUEST_ID}, timeout=ANSWER_SECONDS
    )
    assert asked.status_code == 200
    (span,) = [one for one in loop.await_spans(f"GET {ROUTE}", f"run/{TASK}") if one.name == f"GET {ROUTE}"]
    return span.trace_id


@pytest.fixture(scope="module")
def page(loop: Loop, trace_id: str) -> Page:
    return loop.await_page("TasksFailing")


def test_the_alert_names_the_task(loop: Loop, page: Page) -> None:
    assert f"Task {TASK} fails" in page.message
    assert loop.installation.rows(
        "SELECT labels ->> 'task' FROM observability_episode WHERE alertname = 'TasksFailing'"
    ) == [(TASK,)]


def test_its_samples_are_exactly_the_trace_of_the_request_whose_task_failed(
    page: Page, trace_id: str
) -> None:
    assert page.traces == [trace_id]
    assert re.match(rf"Trace {trace_id[:8]} failure \S+ {re.escape(TASK)} log lines", page.words), page.words
    assert REQUEST_ID in page.words


def test_its_page_leads_to_the_search_for_failed_runs_of_the_task(loop: Loop, page: Page) -> None:
    address = urlsplit(page.link(f"Failed runs of {TASK} in Jaeger"))
    assert address._replace(query="").geturl() == "http://localhost:16686/search"
    asked = parse_qs(address.query)
    assert json.loads(asked["tags"][0]) == {"celery.task_name": TASK, "error": "true"}
    (run,) = [span for span in loop.await_spans(f"run/{TASK}") if span.name == f"run/{TASK}"]
    assert int(asked["start"][0]) * 1000 < run.started < run.ended < int(asked["end"][0]) * 1000


def test_its_page_leads_to_the_errors_of_the_task(page: Page, bugsink: Bugsink) -> None:
    address = page.link("Issues in Sentry")
    assert parse_qs(urlsplit(address).query)["query"] == [f'transaction:"{TASK}"']
    with requests.Session() as session:
        issues = open_page(session, address, USER, bugsink.password)
    assert "This task fails on purpose." in issues


def test_the_error_is_one_event_with_the_same_trace_and_request(loop: Loop, trace_id: str) -> None:
    project = loop.everything.project
    project.wait_for_event(lambda event: event["transaction"] == TASK, PATIENCE_SECONDS)
    (event,) = [event for event in project.events() if event["transaction"] == TASK]
    assert event["contexts"]["trace"]["trace_id"] == trace_id
    assert event["tags"]["request_id"] == REQUEST_ID


# --- Requests that fail among many that work ---


def test_the_samples_of_high_error_rate_are_requests_that_failed(loop: Loop) -> None:
    """A tenth of the requests fails, until a notification is sent."""
    with requests.Session() as session:
        numbers = count()

        def ask() -> bool:
            name = "works" if next(numbers) % 10 else "fails"
            session.get(f"{loop.installation.url}/test/{name}", timeout=ANSWER_SECONDS)
            return bool(loop.messages("HighErrorRate"))

        assert wait_until(ask), loop.monitoring.alerts()
    page = loop.await_page("HighErrorRate")
    failed = {one.trace_id for one in loop.await_spans("GET /test/fails") if one.name == "GET /test/fails"}
    assert page.traces
    assert set(page.traces) <= failed
    assert re.match(r"\d+ failed GET /test/fails Trace \w{8} 500 ", page.words), page.words
