"""What the alert's page asks, asked of a real Prometheus: the worst endpoints, and their sampled requests."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from django.conf import settings as django_settings

from local import monitoring
from local.children import Program
from local.ports import find_free_port
from observability.admin.cause.questions import Place
from observability.admin.cause.samples import Found, look
from observability.admin.cause.subject import Kind, Subject
from observability.tests.waiting import ANSWER_SECONDS, wait_until

pytestmark = pytest.mark.needs("prometheus")

NAMES = ("ok", "failed", "works_now", "slow", "query", "task", "failed_task", "failed_attempt")
TRACES = {name: f"{number:032x}" for number, name in enumerate(NAMES, 1)}
REQUEST = "0123456789abcdef"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# As /metrics gives it. From the second scrape on there is one more endpoint that fails, and more errors.
SCRAPE = """\
# TYPE http_requests counter
http_requests_total{{method="GET",endpoint="/ok",status="200"}} {many}
http_requests_total{{method="POST",endpoint="/fails",status="200"}} {many} # {{trace_id="{works_now}"}} 1.0
http_requests_total{{method="POST",endpoint="/fails",status="500"}} {some}{failed}
http_requests_total{{method="GET",endpoint="/api/v1/health",status="503"}} {many}
{new}# TYPE amani_celery_tasks counter
amani_celery_tasks_total{{task="a.b",outcome="success"}} {many} # {{trace_id="{task}"}} 1.0
amani_celery_tasks_total{{task="a.b",outcome="failure"}} 1 # {{trace_id="{failed_task}"}} 1.0
# TYPE amani_alert_delivery_attempts counter
amani_alert_delivery_attempts_total{{channel="slack",outcome="retry"}} 1 # {{trace_id="{failed_attempt}"}} 1.0
# TYPE http_request_duration_seconds histogram
{histograms}# TYPE db_query_duration_seconds histogram
db_query_duration_seconds_bucket{{operation="SELECT",le="0.1"}} 1
db_query_duration_seconds_bucket{{operation="SELECT",le="0.5"}} 2 # {{trace_id="{query}"}} 0.4
db_query_duration_seconds_bucket{{operation="SELECT",le="+Inf"}} 2
# TYPE amani_celery_task_duration_seconds histogram
amani_celery_task_duration_seconds_bucket{{task="a.b",le="0.1"}} 1 # {{trace_id="{task}"}} 0.05
amani_celery_task_duration_seconds_bucket{{task="a.b",le="+Inf"}} 1
# EOF
"""
HISTOGRAM = """\
http_request_duration_seconds_bucket{{method="{method}",endpoint="{endpoint}",le="0.05"}} {fast}
http_request_duration_seconds_bucket{{method="{method}",endpoint="{endpoint}",le="2.5"}} {slow}
http_request_duration_seconds_bucket{{method="{method}",endpoint="{endpoint}",le="+Inf"}} {slow}
"""
NEW = 'http_requests_total{method="GET",endpoint="/new",status="502"} 40\n'


def exemplar(name: str, value: float, **labels: str) -> str:
    said = {"trace_id": TRACES[name], **labels}
    return " # {" + ",".join(f'{label}="{text}"' for label, text in said.items()) + f"}} {value}"


def scrape(number: int) -> str:
    ok, slow, works_now = exemplar("ok", 0.01), exemplar("slow", 1.845), exemplar("works_now", 0.02)
    fails = {"fast": f"{7 * number}{works_now}", "slow": 7 * number}
    works = {"fast": f"{90 * number}{ok}", "slow": f"{100 * number}{slow}"}
    return SCRAPE.format(
        many=100 * number,
        some=7 * number,
        new=NEW if number > 1 else "",
        histograms=HISTOGRAM.format(method="POST", endpoint="/fails", **fails)
        + HISTOGRAM.format(method="GET", endpoint="/ok", **works),
        **TRACES | {"failed": exemplar("failed", 1.0, request_id=REQUEST)},
    )


class Target:
    """Answers each scrape with a little more, in OpenMetrics."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                target.accepted.append(self.headers["Accept"])
                body = scrape(len(target.accepted)).encode()
                self.send_response(200)
                self.send_header("Content-Type", OPENMETRICS)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    target = Target()
    yield target
    target.close()


@pytest.fixture(scope="module")
def prometheus_url(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus as `make run` starts it, that has scraped the target some times."""
    found = monitoring.find_program("prometheus")
    assert found is not None
    folder, port = tmp_path_factory.mktemp("prometheus"), find_free_port()
    write_configuration(folder, target.server.server_address[1])
    address = [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.path=data", monitoring.EXEMPLARS]
    output = os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600)
    program = Program(
        "prometheus",
        [found, "--config.file=prometheus.yml", *address],
        output=output,
        environment=monitoring.environment(),
        folder=folder,
    )
    program.start()
    url = f"http://127.0.0.1:{port}"
    assert wait_until(lambda: len(target.accepted) > 3), (folder / "log").read_text()
    assert wait_until(lambda: bool(exemplars(url))), (folder / "log").read_text()
    yield url
    program.stop()
    os.close(output)


def write_configuration(folder: Path, port: int) -> None:
    """The job of deploy/, once a second."""
    deployed = yaml.safe_load((django_settings.BASE_DIR / "deploy/prometheus/prometheus.yml").read_text())
    job = next(job for job in deployed["scrape_configs"] if job["job_name"] == "amani")
    job |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))


def exemplars(url: str) -> list[Any]:
    query = {"query": "amani_celery_task_duration_seconds_bucket", "start": "0", "end": "9999999999"}
    found: list[Any] = requests.get(
        f"{url}/api/v1/query_exemplars", params=query, timeout=ANSWER_SECONDS
    ).json()["data"]
    return found


@pytest.fixture
def ask(prometheus_url: str, settings: Any) -> Callable[..., Found]:
    """`ask(kind, …)` returns what the page of an alert of that kind, which began now, shows."""
    settings.PROMETHEUS_URL = prometheus_url

    def found(kind: Kind = Kind.REQUESTS, **changes: Any) -> Found:
        now = datetime.now(UTC)
        values: dict[str, Any] = {"about_errors": False, "job": "amani"}
        subject = Subject(
            kind=kind,
            start=now - timedelta(minutes=5),
            end=now + timedelta(minutes=1),
            **values | changes,
        )
        return look(subject, budget_seconds=ANSWER_SECONDS)

    return found


def traces(found: Found) -> list[str]:
    assert found.problem == ""
    names = {trace_id: name for name, trace_id in TRACES.items()}
    return [names[sample.trace_id] for sample in found.samples]


def test_prometheus_asks_for_openmetrics(prometheus_url: str, target: Target) -> None:
    assert target.accepted[0].startswith("application/openmetrics-text")


def test_endpoints_that_fail_are_found_also_when_they_never_failed_before(ask: Callable[..., Found]) -> None:
    found = ask(about_errors=True)
    assert [place[:2] for place in found.places] == [("GET", "/new"), ("POST", "/fails")]
    assert traces(found) == ["failed"]
    [sample] = found.samples
    assert (sample.ended, sample.seconds, sample.request_id) == ("500", None, REQUEST)
    assert sample.name == "POST /fails"


def test_slow_requests_are_found_at_the_slowest_endpoint(ask: Callable[..., Found]) -> None:
    found = ask()
    assert found.places[0][:2] == ("GET", "/ok")
    assert isinstance(found.places[0], Place)
    assert traces(found) == ["slow"]
    assert (found.samples[0].ended, found.samples[0].seconds) == ("", 1.845)


def test_the_endpoint_that_the_alert_names_is_enough(ask: Callable[..., Found]) -> None:
    assert traces(ask(endpoint="/ok")) == ["slow"]
    assert traces(ask(endpoint="/ok", about_errors=True)) == []
    assert traces(ask(endpoint="/fails", about_errors=True)) == ["failed"]
    assert traces(ask(endpoint="/ok", job="another")) == []


def test_slow_statements_and_tasks_have_traces_too(ask: Callable[..., Found]) -> None:
    assert traces(ask(Kind.QUERIES)) == ["query"]
    assert traces(ask(Kind.QUERIES, operation="INSERT")) == []
    assert traces(ask(Kind.TASKS, task="a.b")) == ["task"]


def test_alerts_about_failed_tasks_and_deliveries_find_only_what_failed(ask: Callable[..., Found]) -> None:
    found = ask(Kind.TASKS, task="a.b", about_errors=True)
    assert traces(found) == traces(ask(Kind.TASKS, about_errors=True)) == ["failed_task"]
    assert (found.samples[0].name, found.samples[0].ended) == ("a.b", "failure")
    assert traces(ask(Kind.TASKS, task="c", about_errors=True)) == []
    assert traces(ask(Kind.DELIVERIES, channel="slack", about_errors=True)) == ["failed_attempt"]
    assert traces(ask(Kind.DELIVERIES, channel="pagerduty", about_errors=True)) == []


@pytest.mark.parametrize("endpoint", ['/x"} or vector(1) #', "/\\", "/é\u2028😀", "/\x7f", "/{{ $x }}\n"])
def test_no_endpoint_is_a_question_that_prometheus_refuses(ask: Callable[..., Found], endpoint: str) -> None:
    assert ask(endpoint=endpoint) == Found()
