"""A scrape says whether PostgreSQL and Redis answer, and never hangs with them."""

import os
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text
from psycopg.conninfo import conninfo_to_dict

from local.services import PrivatePostgres, PrivateValkey
from observability.telemetry import health
from observability.telemetry.metrics import scrape
from observability.telemetry.metrics.exposition import DEPENDENCIES
from observability.telemetry.metrics.scrape import Dependencies, metrics_answer

LOCAL = {"REQUEST_METHOD": "GET", "REMOTE_ADDR": "127.0.0.1", "PATH_INFO": "/metrics"}


@pytest.fixture(autouse=True)
def fresh_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No probe still waits for another test's server, and no answer is remembered."""
    database = health.Probe(("database", "migrations", "worker"), health.ask_database)
    monkeypatch.setattr(scrape, "database_probe", database)
    monkeypatch.setattr(scrape, "broker_probe", health.Probe(("broker",), health.ask_broker))
    monkeypatch.setattr(scrape, "dependencies", Dependencies())


@pytest.fixture
def frozen() -> Iterator[Callable[[int], None]]:
    """`frozen(pid)` stops a process until the test ends."""
    pids: list[int] = []

    def freeze(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        pids.append(pid)

    yield freeze
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def postgres(
    private_postgres: Callable[[], PrivatePostgres], monkeypatch: pytest.MonkeyPatch
) -> PrivatePostgres:
    """A PostgreSQL of the test's own, which the checks ask."""
    server = private_postgres()
    default = SimpleNamespace(get_connection_params=lambda: dict(conninfo_to_dict(server.url)))
    monkeypatch.setattr(health, "connections", {"default": default})
    return server


@pytest.fixture
def valkey(private_valkey: Callable[[], PrivateValkey], settings: Any) -> PrivateValkey:
    server = private_valkey()
    settings.REDIS_URL = server.url
    return server


def scraped() -> dict[str, float]:
    answer = metrics_answer(LOCAL)
    assert answer.status == 200
    return {
        one.labels["dependency"]: one.value
        for family in parse_text(answer.body.decode())
        for one in family.samples
        if one.name == "amani_dependency_up"
    }


def test_a_scrape_says_that_both_answer(postgres: PrivatePostgres, valkey: PrivateValkey) -> None:
    assert scraped() == {"database": 1, "redis": 1}


@pytest.mark.parametrize("how", ["killed", "hanging"])
def test_a_scrape_says_that_postgresql_does_not_answer(
    how: str, postgres: PrivatePostgres, valkey: PrivateValkey, frozen: Callable[[int], None]
) -> None:
    postgres.kill() if how == "killed" else frozen(postgres.pid)
    assert scraped() == {"database": 0, "redis": 1}


@pytest.mark.parametrize("how", ["killed", "hanging"])
def test_a_scrape_says_that_redis_does_not_answer(
    how: str, postgres: PrivatePostgres, valkey: PrivateValkey, frozen: Callable[[int], None]
) -> None:
    valkey.kill() if how == "killed" else frozen(valkey.pid)
    assert scraped() == {"database": 1, "redis": 0}


def test_scrapes_at_the_same_time_share_an_answer(
    postgres: PrivatePostgres, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scraped() == {"database": 1, "redis": 1}
    monkeypatch.setattr(scrape, "run_checks", lambda *_probes: pytest.fail("asked again"))
    monkeypatch.setattr(scrape.dependencies, "expires", float("inf"))
    assert scraped() == {"database": 1, "redis": 1}


def test_every_dependency_has_its_check() -> None:
    assert tuple(scrape.CHECKS) == DEPENDENCIES
