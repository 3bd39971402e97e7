"""Redis answers and refuses writes: full, a replica, unable to save. Nothing restarts, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from amani.tests.tls import Authority, TlsProxy
from local.services import PrivateValkey
from observability.tests.vendors import Vendor
from observability.tests.waiting import ANSWER_SECONDS, wait_until
from tests.faults.notifications import firing, lost, triggers
from tests.installation import Installation, pid_of

pytestmark = [pytest.mark.faults, pytest.mark.processes]

SEEN_SECONDS = 60.0
REFUSALS = (b"Cannot connect to", b"Error in timer")  # the words of Celery and kombu
Mend = Callable[[], object]


def fill(client: redis.Redis, _server: PrivateValkey) -> Mend:
    client.config_set("maxmemory", 1)
    return lambda: client.config_set("maxmemory", 0)


def make_replica(client: redis.Redis, _server: PrivateValkey) -> Mend:
    client.replicaof("127.0.0.1", "9")  # the discard port: nobody listens there
    return lambda: client.replicaof("NO", "ONE")


def hinder_saving(client: redis.Redis, server: PrivateValkey) -> Mend:
    """Its snapshot cannot take its place, where a folder is."""
    obstacle = server.folder / "dump.rdb"
    obstacle.mkdir()
    client.config_set("save", "3600 1")
    client.bgsave()

    def mend() -> None:
        obstacle.rmdir()
        client.config_set("save", "")
        client.bgsave()

    return mend


STATES = {
    "full": (fill, "refuses writes: its memory is full (maxmemory)"),
    "replica": (make_replica, "refuses writes: it is a replica"),
    "cannot save": (hinder_saving, "refuses writes: it cannot save to its disk"),
}


def broker(installation: Installation) -> tuple[int, str, dict[str, Any]]:
    response = requests.get(f"{installation.url}/api/v1/health", timeout=ANSWER_SECONDS)
    check = response.json()["checks"]["broker"]
    return response.status_code, response.json()["status"], {k: check[k] for k in ("status", "detail")}


def await_refusals(installation: Installation, log: Path, since: int) -> None:
    """Until Redis has refused the worker three times: what it asks at its start, or a timer of its own."""

    def was_refused() -> bool:
        said = log.read_bytes()[since:]
        return sum(said.count(refusal) for refusal in REFUSALS) >= 3

    assert wait_until(was_refused), installation.log("worker")


@pytest.mark.parametrize("state", STATES)
def test_the_worker_waits_for_a_redis_that_refuses_writes_and_health_says_why(
    state: str, installation: Installation, slack: Vendor, pagerduty: Vendor
) -> None:
    begin, detail = STATES[state]
    worker, beat = pid_of(installation.worker), pid_of(installation.beat)
    with redis.Redis.from_url(installation.valkey.url) as client:
        log = installation.folder / "worker.log"
        seen = log.stat().st_size
        mend = begin(client, installation.valkey)
        try:
            expected = (200, "degraded", {"status": "error", "detail": detail})
            assert wait_until(lambda: broker(installation) == expected, SEEN_SECONDS)
            assert installation.post(firing([1, 2, 3])) == 200
            await_refusals(installation, log, seen)
            installation.worker.stop()  # one that is started now waits, too
            installation.worker.start()
            worker = pid_of(installation.worker)
            await_refusals(installation, log, log.stat().st_size)
        finally:
            mend()

    assert wait_until(lambda: broker(installation)[2] == {"status": "ok", "detail": "accepts writes"})
    installation.await_heartbeat()
    installation.await_settled()
    assert lost(slack, triggers([1, 2, 3])) == lost(pagerduty, triggers([1, 2, 3])) == set()
    assert installation.worker.is_running
    assert installation.beat.is_running
    assert (pid_of(installation.worker), pid_of(installation.beat)) == (worker, beat)


def test_worker_and_beat_work_over_tls(
    installation: Installation, slack: Vendor, service_folder: Path
) -> None:
    authority = Authority(service_folder, "authority")
    proxy = TlsProxy(installation.valkey.port, authority.certify("127.0.0.1"))
    plain = installation.environment["REDIS_URL"]
    secure = (
        f"rediss://:{installation.valkey.password}@127.0.0.1:{proxy.port}/0?ssl_ca_certs={authority.file}"
    )
    try:
        start_anew(installation, secure)
        installation.await_heartbeat()
        assert installation.post(firing([1])) == 200
        installation.await_settled()
        assert lost(slack, triggers([1])) == set()
    finally:
        start_anew(installation, plain)
        proxy.close()


def start_anew(installation: Installation, redis_url: str) -> None:
    """Worker and beat with another REDIS_URL."""
    installation.environment["REDIS_URL"] = redis_url
    for program in (installation.worker, installation.beat):
        program.stop()
        program.start()
