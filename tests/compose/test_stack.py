"""docker-compose.yml, really run: image, start, runbook, drill, replicas, restarts under load, kills, end.

In this order: each test goes on with the stack as the one before left it.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
import requests

from tests.compose.load import Load
from tests.compose.stack import (
    EXPORTERS,
    PATIENCE,
    SCALED,
    Stack,
    lost,
    run,
    say,
    undelivered,
    until,
)

EDGE = "https://localhost:8443"
BANK = "http://localhost:8026"
IMAGE = "amani-backend:local"
LARGEST_IMAGE = 600 * 1000**2
READ_BY_RUNBOOK = (
    "http://localhost:8000/metrics",
    "http://localhost:9090/api/v1/query?query=http_requests_total",
    "http://localhost:8000/api/v1/health",
    "http://localhost:8000/api/v1/readiness",
    "http://localhost:8000/api/v1/ping",
    "http://localhost:9090/api/v1/targets",
)


@pytest.fixture(scope="module", autouse=True)
def _started(stack: Stack) -> None:
    """Every test needs it."""


def test_the_image_is_small_has_a_number_for_its_user_and_no_compiler() -> None:
    facts = json.loads(run("docker", "image", "inspect", IMAGE))[0]
    say(f"image: {facts['Size'] / 1000**2:.0f} MB")
    assert facts["Size"] < LARGEST_IMAGE
    assert facts["Config"]["User"] == "10001:10001"
    assert facts["Config"]["Healthcheck"]["Test"][0] == "CMD"
    assert facts["Config"]["Labels"]["org.opencontainers.image.title"] == "amani-backend"
    for program in ("cc", "gcc", "g++", "make"):
        found = ["docker", "run", "--rm", "--entrypoint", "sh", IMAGE, "-c", f"command -v {program}"]
        assert subprocess.run(found, capture_output=True, check=False).returncode != 0


def test_every_target_is_up(stack: Stack) -> None:
    expected = [
        ("alertmanager", "", "up"),
        ("amani", "beat", "up"),
        ("amani", "web", "up"),
        ("amani", "worker", "up"),
        ("prometheus", "", "up"),
    ]
    until(lambda: stack.targets() == expected, "all targets are up")


def test_every_process_connects_as_the_role_that_owns_nothing(stack: Stack) -> None:
    assert stack.roles() == "amani_app"
    assert "amani.W018" not in stack.manage("check", "--deploy", "--database", "default")


def test_a_person_plays_the_bank_and_amani_is_told(stack: Stack) -> None:
    """With the demo's escrows, which `migrate` played through the bank."""
    states = "SELECT string_agg(state, ',' ORDER BY state) FROM {}"
    assert stack.query(states.format("escrow_payout")) == "settled,unknown"
    assert stack.query(states.format("escrow_collection")) == "open,received,received,received,received"
    waiting = "SELECT reference, amount_minor FROM escrow_collection WHERE state = 'open'"
    reference, amount_minor = stack.query(waiting).split("|")
    assert reference in requests.get(BANK, timeout=30).text
    form = {"kind": "collection", "reference": reference, "action": "pay", "way": "now", "at": "/"}
    form["amount"] = f"{int(amount_minor) / 100:.2f}"
    assert requests.post(f"{BANK}/act", data=form, timeout=30, allow_redirects=False).status_code == 303
    collection = f"FROM escrow_collection WHERE reference = '{reference}'"
    until(lambda: stack.query(f"SELECT state {collection}") == "received", "the payment is booked")
    event = f"FROM escrow_paymentevent WHERE reference = '{reference}'"
    told = "collection.received|done"
    until(lambda: stack.query(f"SELECT kind, state {event}") == told, "the bank's webhook is processed")
    assert "awaiting_funds" not in stack.query("SELECT state FROM escrow_escrow").split()


def test_the_exporters_are_scraped_while_they_run(stack: Stack) -> None:
    stack.compose("up", "--detach", "--no-deps", *EXPORTERS)
    stack.wait_until_healthy()
    jobs = {"node", "postgresql", "redis"}
    until(lambda: jobs <= {job for job, _, health in stack.targets() if health == "up"}, "exporters are up")
    queries = ("node_load1", "pg_up == 1", "redis_up == 1")
    until(lambda: all(map(stack.prometheus, queries)), "each exporter reaches what it watches")
    assert stack.query("SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'amani_exporter'") == "t"
    stack.compose("rm", "--stop", "--force", *EXPORTERS)
    until(lambda: not jobs & {job for job, _, _ in stack.targets()}, "they are no targets any more")


@pytest.mark.parametrize("address", READ_BY_RUNBOOK)
def test_the_runbooks_address_answers(address: str) -> None:
    assert run("curl", "--silent", "--fail", "--show-error", address)


@pytest.mark.parametrize("container", ["amani-backend", "amani-prometheus"])
def test_the_runbooks_containers_have_logs(container: str) -> None:
    assert run("docker", "logs", container)
    assert container in run("docker", "ps")


def test_the_runbooks_restart_works(stack: Stack) -> None:
    stack.compose("restart", "app")
    stack.wait_until_healthy()


def test_a_file_system_is_read_only_and_nobody_is_root(stack: Stack) -> None:
    for service in ("app", "worker", "beat", "bank"):
        assert stack.compose("exec", "-T", service, "id", "-u").strip() == "10001"
        written = stack.compose("exec", "-T", service, "touch", "/srv/amani/x", check=False)
        assert "Read-only file system" in written


def test_a_drill_reaches_slack_and_pagerduty(stack: Stack) -> None:
    began = time.monotonic()
    assert "The loop is closed" in stack.manage("fire_drill")
    say(f"fire drill: {time.monotonic() - began:.0f} s")
    received = stack.received()
    assert "/slack " in received
    assert "/pagerduty " in received


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/ping", 200), ("/metrics", 403), ("/accounts/login/", 200), ("/-/healthy", 404), ("/x", 404)],
)
def test_the_edge_exposes_what_people_need(stack: Stack, tmp_path: Path, path: str, status: int) -> None:
    session = requests.Session()
    session.trust_env = False
    certificate = stack.certificate(tmp_path)
    assert session.get(f"{EDGE}{path}", verify=certificate, timeout=30).status_code == status


def test_the_edge_sends_people_from_http_to_https() -> None:
    answer = requests.get("http://localhost:8080/accounts/login/", timeout=30, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (308, f"{EDGE}/accounts/login/")


def test_every_replica_is_found(stack: Stack) -> None:
    stack.files = SCALED
    stack.start("--scale", "app=3", "--scale", "worker=4")

    def up() -> list[str]:
        return [component for job, component, health in stack.targets() if (job, health) == ("amani", "up")]

    until(lambda: up() == ["beat", *["web"] * 3, *["worker"] * 4], "every replica is scraped")
    counts_add_up(stack)
    stack.compose("up", "--detach", "--scale", "app=3", "--scale", "worker=2", *stack.services)


def counts_add_up(stack: Stack) -> None:
    """Each replica counts its own requests, and Prometheus has the sum: each is asked, by its own port."""
    view = 'sum by (instance) (http_requests_total{endpoint=~".*api/v1/readiness"})'
    addresses = [f"{address}/api/v1/readiness" for address in addresses_of_web(stack)]

    def counted() -> dict[str, int]:
        return {one["metric"]["instance"]: int(one["value"][1]) for one in stack.prometheus(view)}

    before = counted()
    for times, address in enumerate(addresses, 1):
        for _ in range(10 * times):
            assert requests.get(address, timeout=30).ok
    until(lambda: sum(counted().values()) == sum(before.values()) + 60, "the sum has every request")
    each = [number - before.get(instance, 0) for instance, number in counted().items()]
    assert sorted(each)[-3:] == [10, 20, 30]


def addresses_of_web(stack: Stack) -> list[str]:
    """The address of each replica; of several, each has another port after a restart."""
    ports = [run("docker", "port", container, "8000") for container in stack.containers("app")]
    return [f"http://{port.split()[0]}" for port in ports]


def test_a_rolling_restart_under_load_fails_no_request(stack: Stack, tmp_path: Path) -> None:
    stack.wait_until_healthy()
    with Load(EDGE, stack.secret("alert_webhook_token"), stack.certificate(tmp_path)) as load:
        load.wait_for(5, "the first webhooks")
        for container in stack.containers("app"):
            run("docker", "restart", container)
            stack.wait_until_healthy()
    say(f"rolling restart: {len(load.taken)} webhooks and {load.read} pages, {len(load.failed)} failed")
    assert load.failed == []
    assert lost(stack, load.taken) == 0


def test_a_killed_container_loses_nothing_that_was_answered(stack: Stack, tmp_path: Path) -> None:
    with Load(EDGE, stack.secret("alert_webhook_token"), stack.certificate(tmp_path)) as load:
        for service in ("app", "worker", "beat", "redis", "postgres", "alertmanager", "prometheus", "edge"):
            before = len(load.taken)
            container = stack.containers(service)[0]
            run("docker", "kill", container)
            run("docker", "start", container)
            load.wait_for(before + 5, f"webhooks after {service} was killed")
        stack.wait_until_healthy()
    say(f"kills: {len(load.taken)} webhooks taken, {len(load.failed)} refused")
    assert lost(stack, load.taken) == 0
    until(lambda: undelivered(stack) == 0, "what was stored is delivered", 2 * PATIENCE)


def test_a_redis_that_is_away_at_the_start_stops_nobody(stack: Stack) -> None:
    stack.compose("stop", "redis")
    stack.compose("restart", "app", "worker", "beat")
    stack.wait_until_healthy()
    address = addresses_of_web(stack)[0]
    until(lambda: health(address) == ("degraded", "ok"), "Amani answers without its broker")
    stack.compose("start", "redis")
    until(lambda: health(address) == ("ok", "ok"), "broker and worker are well again")


def health(address: str) -> tuple[str, str]:
    """What Amani says of itself and of its database; nothing while the container begins to listen."""
    try:
        answer = requests.get(f"{address}/api/v1/health", timeout=30).json()
    except requests.ConnectionError:
        return "", ""
    return answer["status"], answer["checks"]["database"]["status"]


def test_a_taken_port_is_one_clear_line(stack: Stack) -> None:
    taken = run(
        "docker", "run", "--rm", "--detach=false", "-p", "127.0.0.1:9090:80", IMAGE, "true", check=False
    )
    assert "127.0.0.1:9090" in taken
    assert "already" in taken


def test_production_names_the_first_secret_that_is_missing() -> None:
    files = "docker-compose.yml:deploy/compose.production.yml"
    given = {"PUBLIC_URL": "https://amani.example.com", "ALLOWED_HOSTS": "amani.example.com"}
    said = run("docker", "compose", "config", "--quiet", check=False, COMPOSE_FILE=files, **given)
    assert "required variable" in said
    assert "in .env" in said
