"""`/metrics`: what it says, in which format, and to whom."""

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families as parse_text

from observability import metrics
from observability.telemetry.edge import Edge
from observability.telemetry.metrics.requests import http_requests_in_progress
from observability.telemetry.metrics.scrape import metrics_answer
from observability.telemetry.metrics.slots import take_slot
from observability.telemetry.metrics.storage import store
from observability.tests.samples import parse_openmetrics

OPENMETRICS = {"HTTP_ACCEPT": "application/openmetrics-text;version=1.0.0"}
LOCAL = {"REQUEST_METHOD": "GET", "REMOTE_ADDR": "127.0.0.1", "PATH_INFO": "/metrics"}


@pytest.fixture(autouse=True)
def access(settings: Any) -> None:
    settings.METRICS_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    settings.METRICS_TOKEN = "scrape-token"
    settings.PROMETHEUS_MULTIPROC_DIR = ""


@pytest.fixture
def directory(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """A metrics folder in which this process holds `web-0`."""
    settings.PROMETHEUS_MULTIPROC_DIR = str(tmp_path)
    store.attach(take_slot(tmp_path, "web"))
    yield tmp_path
    store.release()


def scrape(**environ: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of one scrape."""
    answer = metrics_answer(LOCAL | environ)
    assert answer.status == 200
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in parse_text(answer.body.decode())
        for one in family.samples
    }


def test_one_scrape_has_the_runbooks_names_and_the_pipelines() -> None:
    names = {family.name for family in parse_text(metrics_answer(LOCAL).body.decode())}
    assert {
        "http_requests",
        "http_request_duration_seconds",
        "http_requests_in_progress",
        "db_connections_active",
        "db_query_duration_seconds",
        "errors",
        "escrow_transactions",
        "user_registrations",
        "kyc_submissions",
        "amani_alerts_received",
        "amani_alert_deliveries",
        "amani_worker_heartbeat_timestamp_seconds",
        "amani_build_info",
    } <= names


def test_zero_is_shown_as_zero() -> None:
    samples = scrape()
    assert samples["amani_alert_deliveries_total", (("channel", "slack"), ("outcome", "dead"))] >= 0
    assert samples["amani_alert_undelivered", (("channel", "pagerduty"),)] >= 0


def test_several_processes_and_one_say_the_same(directory: Path) -> None:
    store.release()
    alone = metrics.REGISTRY.collect()
    names_alone = {metric.name for metric in alone}
    store.attach(take_slot(directory, "web"))
    names = {name.removesuffix("_total") for name, _ in scrape()}
    # Labelled metrics of which nobody has made a child have no line in a file.
    without_children = {"http_requests", "errors"}
    assert names_alone - without_children <= {
        *names,
        *(name.removesuffix("_bucket") for name in names),
        "http_request_duration_seconds",
        "amani_celery_tasks",
        "amani_celery_task_duration_seconds",
    }


def test_a_dead_processs_counters_stay_and_its_live_gauges_go(directory: Path) -> None:
    child = os.fork()
    if child == 0:
        store.attach(take_slot(directory, "web"))
        http_requests_in_progress.inc()
        metrics.spans_ended.inc(7)
        os._exit(9)
    before = metrics.spans_ended._value.get()
    os.waitpid(child, 0)
    assert (directory / "gauge_livesum_web-1.db").exists()
    samples = scrape()
    assert samples["http_requests_in_progress", ()] == 0
    assert samples["amani_tracing_spans_ended_total", ()] == before + 7


def test_a_damaged_file_is_left_out_and_counted(directory: Path) -> None:
    (directory / "counter_web-7.db").write_bytes(b"\xff\x00\x00\x00" + b"\x07" * 300)
    (directory / "histogram_web-7.db").write_bytes(b"")
    samples = scrape()
    assert samples["amani_metric_files_unreadable", ()] == 2
    assert ("db_connections_active", ()) in samples


def test_each_role_has_its_memory_and_processor_time(directory: Path) -> None:
    samples = scrape()
    role = (("role", "web"),)
    assert samples["amani_process_resident_memory_bytes", role] > 10_000_000
    assert samples["amani_process_cpu_seconds_total", role] > 0
    assert samples["amani_process_resident_memory_bytes", (("role", "beat"),)] == 0


def test_openmetrics_when_it_is_asked_for() -> None:
    answer = metrics_answer(LOCAL | OPENMETRICS)
    assert dict(answer.headers)["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "http_requests" in {family.name for family in parse_openmetrics(answer.body.decode())}


def test_openmetrics_of_several_processes_is_well_formed(directory: Path) -> None:
    answer = metrics_answer(LOCAL | OPENMETRICS)
    assert "db_query_duration_seconds" in {family.name for family in parse_openmetrics(answer.body.decode())}


@pytest.mark.django_db
def test_a_scrape_asks_the_database_nothing(
    directory: Path, django_assert_num_queries: Callable[[int], AbstractContextManager[Any]]
) -> None:
    with django_assert_num_queries(0):
        scrape()


def test_openmetrics_ends_once_with_all_that_the_text_has(directory: Path) -> None:
    text = metrics_answer(LOCAL).body.decode()
    openmetrics = metrics_answer(LOCAL | OPENMETRICS).body.decode()
    assert openmetrics.count("# EOF") == 1
    assert openmetrics.endswith("# EOF\n")
    assert series_of(openmetrics) == series_of(text)


@pytest.mark.parametrize("version", ["nonsense", "", "2.0.0", "1.0.0;escaping=dots"])
def test_an_odd_version_is_answered_with_the_one_that_there_is(directory: Path, version: str) -> None:
    answer = metrics_answer(LOCAL | {"HTTP_ACCEPT": f"application/openmetrics-text;version={version}"})
    content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert dict(answer.headers)["Content-Type"] == content_type
    assert b"\nhttp_requests_in_progress 0.0\n" in answer.body


def series_of(text: str) -> set[str]:
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def test_the_body_is_compressed_when_that_is_accepted() -> None:
    answer = metrics_answer(LOCAL | {"HTTP_ACCEPT_ENCODING": "gzip"})
    assert dict(answer.headers)["Content-Encoding"] == "gzip"
    assert b"http_requests_in_progress" in gzip.decompress(answer.body)


# --- Access ---


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_an_allowed_peer_sees_metrics(address: str) -> None:
    assert metrics_answer(LOCAL | {"REMOTE_ADDR": address}).status == 200


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "::2", "::ffff:10.0.0.1", "", "unix:", "127.0.0.1, 10.0.0.1"]
)
def test_another_peer_is_refused_and_told_how(address: str) -> None:
    answer = metrics_answer(LOCAL | {"REMOTE_ADDR": address})
    assert answer.status == 403
    assert b"METRICS_ALLOWED_NETWORKS" in answer.body
    assert b"amani_build_info" not in answer.body


@pytest.mark.parametrize(
    "header",
    ["HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"],
)
def test_a_proxy_on_this_machine_is_not_its_peer(header: str) -> None:
    assert metrics_answer(LOCAL | {header: "127.0.0.1"}).status == 403


@pytest.mark.parametrize(
    "offered", ["Bearer scrape-token", "Bearer wrong", "scrape-token", "", "Bearer \xff"]
)
def test_the_token_opens_metrics_from_anywhere(offered: str) -> None:
    environ = LOCAL | {"REMOTE_ADDR": "203.0.113.9", "HTTP_AUTHORIZATION": offered}
    assert metrics_answer(environ).status == (200 if offered == "Bearer scrape-token" else 403)


def test_an_empty_token_opens_nothing(settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    environ = LOCAL | {"REMOTE_ADDR": "203.0.113.9", "HTTP_AUTHORIZATION": "Bearer "}
    assert metrics_answer(environ).status == 403


def test_only_get_and_head_are_answered() -> None:
    answer = metrics_answer(LOCAL | {"REQUEST_METHOD": "POST"})
    assert answer.status == 405
    assert ("Allow", "GET, HEAD") in answer.headers


# --- Before Django ---


class Started:
    def __init__(self) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}

    def __call__(self, status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        self.status = status
        self.headers = dict(headers)


def unreachable(_environ: object, _start_response: object) -> list[bytes]:
    raise AssertionError("Django was asked")


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/ping", "/livez", "/-/healthy"])
def test_monitoring_is_answered_before_django(path: str) -> None:
    started = Started()
    body = b"".join(Edge(unreachable)(LOCAL | {"PATH_INFO": path}, started))
    assert started.status == "200 OK"
    assert started.headers["Content-Length"] == str(len(body))


def test_head_has_the_length_and_no_body() -> None:
    started = Started()
    environ = LOCAL | {"PATH_INFO": "/api/v1/ping", "REQUEST_METHOD": "HEAD"}
    assert list(Edge(unreachable)(environ, started)) == []
    assert started.headers["Content-Length"] == str(len(b'{"status": "ok"}'))


@pytest.mark.parametrize("path", ["/readyz", "/-/ready", "/api/v1/readiness"])
def test_django_knows_one_name_of_readiness(path: str) -> None:
    def django(environ: Any, _start_response: object) -> list[bytes]:
        return [environ["PATH_INFO"].encode()]

    assert list(Edge(django)(LOCAL | {"PATH_INFO": path}, Started())) == [b"/api/v1/readiness"]


def test_everything_else_is_for_django() -> None:
    def django(_environ: object, _start_response: object) -> list[bytes]:
        return [b"django"]

    assert list(Edge(django)(LOCAL | {"PATH_INFO": "/metrics/"}, Started())) == [b"django"]


@pytest.mark.urls("observability.tests.sample_urls")
def test_djangos_own_server_answers_the_same(client: Client) -> None:
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", headers={"x-forwarded-for": "127.0.0.1"}).status_code == 403
    assert client.get("/api/v1/ping").json() == {"status": "ok"}
