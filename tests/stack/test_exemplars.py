"""A real Prometheus reads the exemplars of several processes and gives them back."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import requests
import yaml

from local import monitoring
from local.children import Program
from local.ports import find_free_port
from observability.metrics import query_durations, record_task
from observability.telemetry.edge import Edge
from observability.telemetry.metrics.exposition import TEXT, write_metrics
from observability.telemetry.metrics.requests import request_counter, request_histogram
from observability.telemetry.metrics.slots import take_slot
from observability.telemetry.metrics.storage import store
from observability.tests.waiting import ANSWER_SECONDS, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.needs("prometheus", "promtool")]

TRACES = ["4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c", "c0ffee" + "0" * 26]


@pytest.fixture
def directory(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """A metrics folder in which this process holds `web-0`."""
    folder = tmp_path / "metrics"
    settings.PROMETHEUS_MULTIPROC_DIR = str(folder)
    store.attach(take_slot(folder, "web"))
    yield folder
    store.release()


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def not_found(_environ: object, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [])
    return []


@pytest.fixture
def web() -> Iterator[int]:
    """The port of a server that answers `/metrics` as gunicorn's workers do."""
    with make_server("127.0.0.1", 0, Edge(not_found), handler_class=QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class Prometheus:
    def __init__(self, folder: Path, path: str, target: int) -> None:
        port = find_free_port()
        self.url = f"http://127.0.0.1:{port}"
        scrape = {"job_name": "amani", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        # Also how long a scrape may take. This process answers it, among others on a busy machine.
        configuration = {"global": {"scrape_interval": "10s"}, "scrape_configs": [scrape]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        command = [path, "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}"]
        command += ["--storage.tsdb.path=data", "--enable-feature=exemplar-storage"]
        self.output = os.open(folder / "prometheus.log", os.O_WRONLY | os.O_CREAT, 0o600)
        self.program = Program(
            "prometheus", command, output=self.output, environment=monitoring.environment(), folder=folder
        )

    def stop(self) -> None:
        self.program.stop()
        os.close(self.output)

    def exemplars(self, query: str) -> list[dict[str, Any]]:
        """Labels, value and timestamp of each, with the labels of what it belongs to under `series`."""
        now = time.time()
        parameters: dict[str, str | float] = {"query": query, "start": now - 3600, "end": now + 60}
        try:
            answer = requests.get(
                f"{self.url}/api/v1/query_exemplars", params=parameters, timeout=ANSWER_SECONDS
            )
        except requests.ConnectionError:  # it is starting
            return []
        found = answer.json()["data"] if answer.status_code == 200 else []
        return [one | {"series": series["seriesLabels"]} for series in found for one in series["exemplars"]]

    def own_metric(self, name: str) -> float:
        lines = requests.get(f"{self.url}/metrics", timeout=ANSWER_SECONDS).text.splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@pytest.fixture
def prometheus(tmp_path: Path, web: int, binary: Callable[[str], str]) -> Iterator[Prometheus]:
    running = Prometheus(tmp_path, binary("prometheus"), web)
    running.program.start()
    yield running
    running.stop()


def observe_in_another_process(directory: Path, amount: float, trace: str) -> None:
    child = os.fork()
    if child == 0:
        store.attach(take_slot(directory, "web"))
        request_histogram("GET", "api/v1/health").observe(amount, {"trace_id": trace})
        os._exit(0)
    os.waitpid(child, 0)


def test_prometheus_gives_back_what_several_processes_have_seen(
    directory: Path, prometheus: Prometheus
) -> None:
    health = request_histogram("GET", "api/v1/health")
    health.observe(0.3, {"trace_id": TRACES[0], "request_id": "request-0001"})
    query_durations["SELECT"].observe(0.002, {"trace_id": TRACES[0]})
    observe_in_another_process(directory, 7.0, TRACES[1])
    query = 'http_request_duration_seconds_bucket{endpoint="/api/v1/health"}'

    def seen(trace: str) -> bool:
        return any(one["labels"]["trace_id"] == trace for one in prometheus.exemplars(query))

    assert wait_until(lambda: seen(TRACES[0]) and seen(TRACES[1]))
    health.observe(0.4, {"trace_id": TRACES[2], "request_id": "request-0002"})
    assert wait_until(lambda: seen(TRACES[2]))

    found = [
        (one["series"]["le"], one["value"], one["labels"].get("request_id"))
        for one in sorted(prometheus.exemplars(query), key=lambda one: float(one["timestamp"]))
    ]
    assert found == [("0.5", "0.3", "request-0001"), ("10.0", "7", None), ("0.5", "0.4", "request-0002")]
    (statement,) = prometheus.exemplars('db_query_duration_seconds_bucket{operation="SELECT"}')
    assert statement["labels"] == {"trace_id": TRACES[0]}
    assert prometheus.own_metric("prometheus_tsdb_exemplar_out_of_order_exemplars_total") == 0


def test_prometheus_gives_back_the_trace_of_a_rare_failure(directory: Path, prometheus: Prometheus) -> None:
    """A counter's exemplar is replaced by the next of its own status only."""
    request_counter("GET", "api/v1/health", 503).inc(1, {"trace_id": TRACES[0], "request_id": "request-0001"})
    for _ in range(5):
        request_counter("GET", "api/v1/health", 200).inc(1, {"trace_id": TRACES[1]})
    record_task("a.b", "failure", 0.5, {"trace_id": TRACES[2]})
    failed = 'http_requests_total{endpoint="/api/v1/health", status=~"5.."}'

    assert wait_until(lambda: bool(prometheus.exemplars(failed)))
    (found,) = prometheus.exemplars(failed)
    assert found["labels"] == {"trace_id": TRACES[0], "request_id": "request-0001"}
    assert (found["value"], found["series"]["status"]) == ("1", "503")
    (worked,) = prometheus.exemplars('http_requests_total{endpoint="/api/v1/health", status="200"}')
    assert worked["labels"] == {"trace_id": TRACES[1]}
    (task,) = prometheus.exemplars('amani_celery_tasks_total{outcome="failure", task="a.b"}')
    assert task["labels"] == {"trace_id": TRACES[2]}
    assert prometheus.own_metric("prometheus_tsdb_exemplar_out_of_order_exemplars_total") == 0


def test_promtool_finds_nothing_wrong_with_the_text_format(
    directory: Path, binary: Callable[[str], str]
) -> None:
    request_histogram("GET", "api/v1/health").observe(0.3, {"trace_id": TRACES[0]})
    command = [binary("promtool"), "check", "metrics"]
    checked = subprocess.run(command, input=write_metrics(TEXT), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
