"""The child that serves the metrics of a worker's or beat's own container."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from local.ports import find_free_port
from observability.telemetry.metrics import server as module
from observability.telemetry.metrics.server import MOST_CONNECTIONS, MetricsServer
from observability.telemetry.metrics.slots import take_slot
from observability.telemetry.metrics.storage import store
from observability.tests.log_events import events_of
from observability.tests.waiting import ANSWER_SECONDS, wait_until


class Client:
    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str = "/metrics", method: str = "GET", **options: Any) -> requests.Response:
        url = f"http://127.0.0.1:{self.port}{path}"
        return requests.request(method, url, timeout=ANSWER_SECONDS, **options)

    def answers(self) -> bool:
        try:
            return self.get("/api/v1/ping").status_code == 200
        except requests.RequestException:
            return False

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS)


@pytest.fixture
def client(tmp_path: Path, settings: Any) -> Iterator[Client]:
    """Asks where METRICS_BIND says; this process has the slot `worker-main-0`."""
    port = find_free_port()
    settings.METRICS_BIND = ("127.0.0.1", port)
    settings.PROMETHEUS_MULTIPROC_DIR = str(tmp_path)
    store.attach(take_slot(tmp_path, "worker-main"))
    yield Client(port)
    store.release()


@pytest.fixture
def server(client: Client) -> Iterator[MetricsServer]:
    running = MetricsServer()
    running.start()
    assert wait_until(client.answers)
    yield running
    running.stop()


def test_it_serves_the_metrics_and_the_ping_of_its_container(server: MetricsServer, client: Client) -> None:
    text = client.get().text
    assert 'amani_process_resident_memory_bytes{role="worker"}' in text
    assert "amani_worker_heartbeat_timestamp_seconds 0.0" in text
    assert client.get("/livez").json() == {"status": "ok"}
    openmetrics = client.get(headers={"Accept": "application/openmetrics-text"}).text
    assert openmetrics.endswith("# EOF\n")


def test_what_web_alone_measures_is_left_to_web(server: MetricsServer, client: Client) -> None:
    assert "amani_dependency_up" not in client.get().text


def test_it_obeys_the_rules_of_web(client: Client, settings: Any) -> None:
    settings.METRICS_ALLOWED_NETWORKS = []
    settings.METRICS_TOKEN = "t" * 20
    running = MetricsServer()
    running.start()
    assert wait_until(client.answers)
    assert client.get().status_code == 403
    assert client.get(headers={"Authorization": "Bearer nonsense"}).status_code == 403
    assert client.get(headers={"Authorization": f"Bearer {'t' * 20}"}).status_code == 200
    running.stop()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("PUT", "/metrics", 501),
        ("GET", "/api/v1/health", 404),
        ("GET", "/admin/", 404),
        ("GET", "/metrics?x=1", 200),
    ],
)
def test_nothing_else_is_there(
    server: MetricsServer, client: Client, method: str, path: str, status: int
) -> None:
    assert client.get(path, method).status_code == status


def test_a_forwarded_request_is_not_from_an_allowed_network(server: MetricsServer, client: Client) -> None:
    assert client.get(headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403


def test_connections_are_few_and_do_not_last(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTION_SECONDS", 1.0)
    running = MetricsServer()
    running.start()
    assert wait_until(client.answers)
    idle = [client.connect() for _ in range(MOST_CONNECTIONS)]
    for connection in idle:
        connection.sendall(b"GET /metrics HTTP/1.0\r\n")  # the rest never comes
    extra = client.connect()
    assert extra.recv(1) == b""  # closed at once
    assert wait_until(client.answers)  # once the idle ones are closed
    for connection in [*idle, extra]:
        connection.close()
    running.stop()


def test_a_killed_server_is_started_again(server: MetricsServer, client: Client) -> None:
    os.kill(server.child, signal.SIGKILL)

    def is_back() -> bool:
        server.keep()
        return client.answers()

    assert wait_until(is_back)
    before = server.child
    server.keep()
    assert server.child == before


def test_it_ends_with_its_parent_also_at_kill_9(client: Client) -> None:
    parent = os.fork()
    if parent == 0:
        MetricsServer().start()
        time.sleep(ANSWER_SECONDS)
        os._exit(0)
    assert wait_until(client.answers)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert wait_until(lambda: not client.answers())


def test_a_taken_port_is_one_line_that_names_the_setting(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", client.port)):
        module.listen(("127.0.0.1", client.port), lambda: False)
    (event,) = events_of(caplog.records)
    assert event["event"] == "metrics_bind_failed"
    assert (event["setting"], event["port"]) == ("METRICS_BIND", client.port)
    assert event["reason"] == "Address already in use"


def test_a_child_that_keeps_ending_is_started_less_and_less_often(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[float] = []
    now = [1000.0]
    running = MetricsServer()
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    monkeypatch.setattr(running, "has_ended", lambda: True)

    def fork() -> None:
        started.append(now[0])
        running.child, running.started_at = 1, now[0]

    monkeypatch.setattr(running, "fork", fork)
    running.start()
    for _ in range(120):
        now[0] += 1
        running.keep()
    running.child = 0
    waited = [round(later - sooner) for sooner, later in pairwise(started)]
    assert waited == [1, 2, 3, 5, 9, 17, 31, 31]


def test_a_child_of_the_owner_neither_keeps_nor_stops_it(server: MetricsServer, client: Client) -> None:
    child = os.fork()
    if child == 0:
        server.keep()
        server.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert client.answers()


def test_without_an_address_nothing_is_started(settings: Any) -> None:
    settings.METRICS_BIND = None
    running = MetricsServer()
    running.start()
    running.keep()
    assert running.child == 0
