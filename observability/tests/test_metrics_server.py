"""The child that serves the metrics of a worker's or beat's own container."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from socketserver import TCPServer
from types import SimpleNamespace
from typing import Any
from unittest import mock

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


# --- Its parts, in this process ---


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What was killed; nothing really is."""
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *arguments: killed.append(arguments))
    return killed


def test_a_child_that_ran_well_is_started_again_at_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    running = MetricsServer()
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    monkeypatch.setattr(running, "has_ended", lambda: True)
    monkeypatch.setattr(running, "fork", lambda: None)
    running.start()
    for ran, waits in ((60.0, 4.0), (60.1, 0.0)):
        running.child, running.started_at, running.wait_seconds = 1, now[0], 4.0
        now[0] += ran
        running.keep()
        assert (running.child, running.due_at) == (0, now[0] + waits)
    assert running.wait_seconds == 1.0


def test_a_child_has_ended_when_it_has_also_if_other_code_waited_for_it() -> None:
    running = MetricsServer()
    reading, writing = os.pipe()
    running.child = os.fork()
    if running.child == 0:
        os.close(writing)
        os.read(reading, 1)  # until the parent closes the pipe
        os._exit(0)
    os.close(reading)
    assert not running.has_ended()
    os.close(writing)
    os.waitid(os.P_PID, running.child, os.WEXITED | os.WNOWAIT)
    assert running.has_ended()
    assert running.has_ended()


@pytest.mark.parametrize(
    ("child", "is_owner", "has_ended", "is_killed"),
    [
        (7, True, False, True),
        (7, True, True, False),
        (7, False, False, False),
        (0, True, False, False),
    ],
)
def test_a_server_is_stopped_by_its_owner_while_it_runs(
    child: int,
    is_owner: bool,
    has_ended: bool,
    is_killed: bool,
    kills: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = MetricsServer()
    running.child, running.owner = child, os.getpid() if is_owner else 1
    monkeypatch.setattr(running, "has_ended", lambda: has_ended)
    running.stop()
    assert kills == [(7, signal.SIGTERM)] * is_killed
    assert (running.child, running.owner) == (0, 0)


class Ended(BaseException):
    """Instead of the end of this process."""


def end(status: int) -> None:
    raise Ended(status)


def test_it_looks_for_its_parent_between_requests(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "_exit", end)
    asked: list[None] = []

    def is_orphan() -> bool:
        asked.append(None)
        return len(asked) == 2

    with pytest.raises(Ended, match="0"):
        module.listen(("127.0.0.1", client.port), is_orphan)


@pytest.mark.parametrize("number", [7, 0])
def test_the_child_serves_and_the_parent_knows_it(
    number: int, client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(os, "fork", lambda: number)
    monkeypatch.setattr(module, "serve", lambda *arguments: served.append(arguments))
    monkeypatch.setattr(module, "monotonic", lambda: 1000.0)
    running = MetricsServer()
    running.start()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert served == [(settings.METRICS_BIND, os.getpid(), mask)] * (number == 0)
    assert (running.child, running.owner, running.started_at) == (number, os.getpid(), 1000.0)


def test_without_memory_for_a_child_none_is_there(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fail)
    running = MetricsServer()
    assert (running.address, running.owner, running.child) == (None, 0, 0)
    assert (running.started_at, running.due_at, running.wait_seconds) == (0.0, 0.0, 0.0)
    running.child = 7
    running.start()
    assert running.child == 0
    (event,) = events_of(caplog.records)
    assert event["event"] == "metrics_server_not_started"


@pytest.mark.parametrize("is_orphan", [False, True])
def test_the_child_has_its_own_signals_and_its_parent(
    is_orphan: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers: dict[int, Any] = {}
    others: list[Any] = []
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(signal, "set_wakeup_fd", others.append)
    monkeypatch.setattr(signal, "pthread_sigmask", lambda *mask: others.append(mask))
    monkeypatch.setattr(module, "listen", lambda address, asks: others.append((address, asks())))
    monkeypatch.setattr(os, "_exit", end)
    parent = 0 if is_orphan else os.getppid()
    with pytest.raises(Ended, match="1"):
        module.serve(("127.0.0.1", 9101), parent, {signal.SIGUSR1})
    assert handlers == dict.fromkeys(module.OF_THE_PARENT, signal.SIG_DFL) | {signal.SIGINT: signal.SIG_IGN}
    assert others == [-1, (signal.SIG_SETMASK, {signal.SIGUSR1}), (("127.0.0.1", 9101), is_orphan)]


@pytest.fixture
def unbound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server takes no port: this machine may not have its address."""
    for step in ("server_bind", "server_activate"):
        monkeypatch.setattr(TCPServer, step, lambda _self: None)


def test_a_client_that_has_left_keeps_no_late_one_open(
    unbound: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "monotonic", lambda: 1000.0)
    left, late, young = mock.Mock(), mock.Mock(), mock.Mock()
    left.shutdown.side_effect = OSError
    with module.Server("127.0.0.1", 9101, lambda: False) as made:
        limit = 1000.0 - module.CONNECTION_SECONDS
        made.began = {left: limit - 1, late: limit - 1, young: limit}
        made.service_actions()
    late.shutdown.assert_called_once_with(socket.SHUT_RDWR)
    young.shutdown.assert_not_called()


@pytest.mark.parametrize(
    ("host", "family"), [("192.0.2.1", socket.AF_INET), ("::1", socket.AF_INET6), ("a.b", socket.AF_INET)]
)
def test_an_address_with_a_colon_is_ipv6(host: str, family: socket.AddressFamily, unbound: None) -> None:
    with module.Server(host, 9101, lambda: False) as made:
        assert made.address_family == family
        assert (made.server_name, made.server_port) == (host, 9101)


@pytest.fixture
def own(client: Client) -> Iterator[module.Server]:
    with module.Server("127.0.0.1", client.port, lambda: False) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_a_connection_counts_until_it_is_closed(
    own: module.Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTION_SECONDS", 3600.0)
    monkeypatch.setattr(module.Handler, "timeout", 3600.0)
    connections = [client.connect() for _ in range(MOST_CONNECTIONS)]
    assert wait_until(lambda: len(own.began) == MOST_CONNECTIONS)
    with client.connect() as extra:
        assert extra.recv(1) == b""
    connections[0].close()
    assert wait_until(client.answers)
    for connection in connections:
        connection.close()
    assert wait_until(lambda: own.began == {})


def test_a_connection_is_closed_when_its_time_is_over(
    own: module.Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client.connect() as old, client.connect() as young:
        assert wait_until(lambda: len(own.began) == 2)
        oldest = min(own.began, key=lambda each: own.began[each])
        own.began[oldest] -= module.CONNECTION_SECONDS
        assert old.recv(1) == b""
        young.sendall(b"GET /api/v1/ping HTTP/1.0\r\n\r\n")
        assert young.recv(12) == b"HTTP/1.0 200"


def test_an_answer_is_whole(own: module.Server, client: Client) -> None:
    fine, unknown = client.get("/livez"), client.get("/admin/")
    assert (fine.status_code, fine.json()) == (200, {"status": "ok"})
    assert (unknown.status_code, unknown.content) == (404, module.UNKNOWN.body)
    for answer in (fine, unknown):
        assert answer.headers["Content-Type"] in {"application/json", "text/plain"}
        assert answer.raw.headers.getlist("Content-Length") == [str(len(answer.content))]
    with client.connect() as connection:
        connection.sendall(b"HEAD /api/v1/ping HTTP/1.0\r\n\r\n")
        head = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert f"Content-Length: {len(fine.content)}\r\n".encode() in head


def test_an_answer_sees_who_asks(own: module.Server, client: Client, settings: Any) -> None:
    settings.METRICS_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    settings.METRICS_TOKEN = "t" * 20
    assert client.get().status_code == 200
    forwarded = {"X-Forwarded-For": "127.0.0.1"}
    assert client.get(headers=forwarded).status_code == 403
    assert client.get(headers=forwarded | {"Authorization": f"Bearer {'t' * 20}"}).status_code == 200
    settings.METRICS_ALLOWED_NETWORKS = []
    assert client.get().status_code == 403


def test_the_interface_of_an_address_is_left_out() -> None:
    request: Any = SimpleNamespace(command="GET", headers={}, client_address=("fe80::1%eth0", 40_000, 0, 2))
    assert module.Handler.environ(request)["REMOTE_ADDR"] == "fe80::1"
