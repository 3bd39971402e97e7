"""Web, worker and beat end during their work, and collector and Sentry do not answer: what is lost.

No alert is lost. No span or error is lost at SIGTERM; at kill -9 those that waited for the next batch are,
and the metrics have their number, because they are in files that outlive a process.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
import requests

from local.children import Program
from local.ports import find_free_port
from local.services import PrivatePostgres, PrivateValkey
from observability.tests.fake_sentry import FakeSentry
from observability.tests.otlp import Mode, OtlpReceiver
from observability.tests.otlp_spans import spans_in
from observability.tests.patient_exit import HELD_UP, PATIENT
from observability.tests.processes import Scrape
from observability.tests.vendors import Reply, Vendor
from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS, wait_until
from tests.faults.notifications import firing, lost, triggers
from tests.installation import Installation, children_of, kill, pid_of, run_command

pytestmark = [pytest.mark.faults, pytest.mark.processes]

CLIENTS = 4
NUMBERS = range(1, 61)


class Collector(OtlpReceiver):
    """Also notes, when a process's batch arrives, how many spans had ended by then.

    A process takes its next batch only after the answer. So what had ended when its last but one arrived has
    arrived with the last: between two batches lies the schedule's delay.
    """

    def __init__(self, ended: Callable[[], float]) -> None:
        super().__init__()
        self.ended = ended
        self.seen: dict[int, list[float]] = {}

    def accept(self, protocol: Literal["http", "grpc"], raw: bytes, headers: dict[str, str]) -> bool:
        if self.mode == "ok":
            process = spans_in(raw)[0].resource["process.pid"]
            self.seen.setdefault(process, []).append(self.ended())
        return super().accept(protocol, raw, headers)

    def batches_of(self, process: int) -> int:
        return len(self.seen.get(process, []))

    def request_ids(self) -> set[str]:
        return {span.attributes.get("amani.request_id", "") for span in self.spans()}


class Load:
    """Clients that ask for a page, and for one that fails every tenth time, until the block ends."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.numbers = count(1)
        self.over = threading.Event()
        self.answered: set[str] = set()
        self.failed: set[str] = set()
        self.threads = [threading.Thread(target=self.ask_on) for _ in range(CLIENTS)]

    def ask_on(self) -> None:
        while not self.over.is_set():
            number = next(self.numbers)
            self.ask(f"load-{number}-of-a-test", "/test/works" if number % 10 else "/test/fails")

    def ask(self, identifier: str, path: str) -> None:
        headers = {"X-Request-ID": identifier, "Connection": "close"}
        try:
            answer = requests.get(f"{self.url}{path}", headers=headers, timeout=ANSWER_SECONDS)
        except requests.RequestException:
            return  # of a worker that was killed, or closed what it had not read
        (self.answered if answer.status_code == 200 else self.failed).add(identifier)

    def await_more(self, answers: int = 50) -> None:
        before = len(self.answered)
        assert wait_until(lambda: len(self.answered) >= before + answers)

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(PATIENCE_SECONDS)


class Accounts:
    """What the metric files say of spans and of events."""

    def __init__(self, scrape: Scrape) -> None:
        self.ended = scrape("amani_tracing_spans_ended_total")
        self.exported = scrape("amani_tracing_spans_exported_total")
        self.dropped = scrape("amani_tracing_spans_dropped_total")
        self.dropped_at_exit = scrape("amani_tracing_spans_dropped_total", reason="exit")
        self.export_failed = scrape("amani_tracing_spans_dropped_total", reason="export_failed")
        self.lost = self.ended - self.exported - self.dropped
        self.captured = scrape("amani_sentry_events_total", outcome="captured")
        self.failed_tasks = scrape("amani_celery_tasks_total", task="tests.call_and_fail", outcome="failure")
        self.events_dropped = scrape("amani_sentry_events_total", outcome="dropped")


@dataclass(frozen=True)
class Traced:
    """An Amani that traces everything, and whom it tells what."""

    amani: Installation
    scrape: Scrape
    collector: Collector
    sentry: FakeSentry
    slack: Vendor
    pagerduty: Vendor

    def start_web(self) -> None:
        self.amani.web.start()
        assert wait_until(self.amani.serves), self.amani.log("web")

    def stop_all(self) -> Accounts:
        """By SIGTERM; nobody has to be killed."""
        for program in (self.amani.beat, self.amani.worker, self.amani.web):
            if program.is_running:
                stop(program)
        return Accounts(self.scrape)

    def ended(self) -> float:
        return self.scrape("amani_tracing_spans_ended_total")

    def received(self) -> int:
        return len({(span.trace_id, span.span_id) for span in self.collector.spans()})

    def waiting_events(self, received: int) -> float:
        """How many events had been captured by now, beyond the `received` that had arrived before."""
        return self.scrape("amani_sentry_events_total", outcome="captured") - received

    def events(self) -> int:
        return len(self.sentry.of("event"))

    def error_ids(self) -> set[str]:
        return {event["tags"].get("request_id", "") for event in self.sentry.of("event")}

    def post_and_queue(self, numbers: range) -> None:
        """An alert for each number, and a task that calls a vendor and fails."""
        for number in numbers:
            self.amani.post_until_taken(firing([number]))
            assert requests.get(f"{self.amani.url}/test/queues", timeout=ANSWER_SECONDS).status_code == 200

    def expect_no_alert_lost(self) -> None:
        self.amani.await_settled()
        for vendor in (self.slack, self.pagerduty):
            assert lost(vendor, triggers(NUMBERS)) == set()


def stop(program: Program) -> None:
    assert program.process is not None
    program.process.terminate()
    program.process.wait(PATIENCE_SECONDS)


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers; `host:port`."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateValkey]:
    server = PrivateValkey(tmp_path_factory.mktemp("traced") / "valkey", find_free_port())
    yield server
    server.remove()


@pytest.fixture(scope="module")
def database(
    own_postgres: PrivatePostgres, valkey: PrivateValkey, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Migrated once for all tests."""
    own_postgres.start()
    with psycopg.connect(own_postgres.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE traced OWNER amani")
    Installation(tmp_path_factory.mktemp("migrations"), own_postgres, valkey, "traced").migrate()
    return "traced"


@pytest.fixture
def scrape(tmp_path: Path, settings: Any) -> Scrape:
    directory = tmp_path / "metrics"
    directory.mkdir()
    settings.PROMETHEUS_MULTIPROC_DIR = str(directory)
    return Scrape(directory)


@pytest.fixture
def collector(scrape: Scrape) -> Iterator[Collector]:
    with Collector(lambda: scrape("amani_tracing_spans_ended_total")) as receiver:
        yield receiver


@pytest.fixture
def sentry() -> Iterator[FakeSentry]:
    server = FakeSentry()
    yield server
    server.close()


@pytest.fixture
def called() -> Iterator[Vendor]:
    vendor = Vendor(Reply())
    yield vendor
    vendor.close()


@pytest.fixture
def traced(
    tmp_path: Path,
    database: str,
    own_postgres: PrivatePostgres,
    valkey: PrivateValkey,
    collector: Collector,
    sentry: FakeSentry,
    called: Vendor,
    scrape: Scrape,
    slack: Vendor,
    pagerduty: Vendor,
) -> Iterator[Traced]:
    """The test starts what it wants of it. No span is given up because the machine is busy."""
    valkey.start()
    installation = Installation(
        tmp_path,
        own_postgres,
        valkey,
        database,
        PROMETHEUS_MULTIPROC_DIR=str(scrape.directory),
        SLACK_WEBHOOK_URL=slack.url,
        PAGERDUTY_EVENTS_URL=pagerduty.url,
        TEST_VENDOR_URL=called.url,
        TRACING_ENABLED="true",
        TRACING_EXPORTER="otlp",
        TRACING_SAMPLE_RATE="1",
        OTLP_PROTOCOL="http/protobuf",
        OTLP_ENDPOINT=collector.http_url,
        OTEL_BSP_SCHEDULE_DELAY="500",
        SENTRY_DSN=sentry.dsn,
        **PATIENT,
    )
    installation.forget()
    yield Traced(installation, scrape, collector, sentry, slack, pagerduty)
    installation.stop()


# --- The end of a process ---


def test_sigterm_of_web_worker_and_beat_loses_no_span_no_error_and_no_alert(traced: Traced) -> None:
    traced.amani.start()
    with Load(traced.amani.url) as load:
        load.await_more()
        for worker in children_of(pid_of(traced.amani.web)):
            os.kill(worker, signal.SIGTERM)
        load.await_more()
    traced.post_and_queue(NUMBERS[:30])
    for program in (traced.amani.worker, traced.amani.beat):
        stop(program)
        program.start()
    traced.post_and_queue(NUMBERS[30:])
    traced.expect_no_alert_lost()
    counts = traced.stop_all()

    assert (load.answered | load.failed) - traced.collector.request_ids() == set()
    assert load.failed - traced.error_ids() == set()
    assert counts.exported == counts.ended == traced.received()
    assert counts.captured == traced.events() >= counts.failed_tasks > 0


def test_kill_9_of_a_web_worker_loses_at_most_what_ended_since_its_last_batch(traced: Traced) -> None:
    traced.start_web()
    victim = children_of(pid_of(traced.amani.web))[0]
    with Load(traced.amani.url) as load:
        assert wait_until(lambda: traced.collector.batches_of(victim) >= 3)
        load.await_more()
        events = traced.events()
        os.kill(victim, signal.SIGKILL)
        ended, waiting = traced.ended(), traced.waiting_events(events)
        load.await_more()
    counts = traced.stop_all()

    missing = (load.answered | load.failed) - traced.collector.request_ids()
    assert len(missing) <= counts.lost <= ended - traced.collector.seen[victim][-2]
    assert counts.dropped == 0
    assert len(load.failed - traced.error_ids()) <= counts.captured - traced.events() <= waiting


def test_kill_9_of_a_worker_child_and_of_beat_loses_at_most_what_ended_since_their_last_batches(
    traced: Traced,
) -> None:
    """And no alert."""
    traced.amani.start()
    batches_of, seen = traced.collector.batches_of, traced.collector.seen
    beat, children = pid_of(traced.amani.beat), children_of(pid_of(traced.amani.worker))
    assert wait_until(lambda: batches_of(beat) >= 2 and any(batches_of(child) >= 2 for child in children))
    victim = max(children, key=batches_of)
    traced.post_and_queue(NUMBERS[:30])
    events = traced.events()
    os.kill(victim, signal.SIGKILL)
    ended_of_child, waiting = traced.ended(), traced.waiting_events(events)
    kill(traced.amani.beat)
    ended_of_beat = traced.ended()
    traced.post_and_queue(NUMBERS[30:])
    traced.amani.beat.start()
    traced.expect_no_alert_lost()
    counts = traced.stop_all()

    bound = ended_of_child - seen[victim][-2] + ended_of_beat - seen[beat][-2]
    assert counts.ended - traced.received() <= counts.lost <= bound
    assert counts.dropped == 0
    assert 0 <= counts.captured - traced.events() <= waiting


# --- Nobody takes them ---


def test_alerts_flow_while_collector_and_sentry_are_down(traced: Traced) -> None:
    with silent_server() as address:
        for name in PATIENT:  # an export takes its usual time here
            del traced.amani.environment[name]
        traced.amani.environment |= {
            "SENTRY_DSN": f"http://key@{address}/1",
            "OTEL_BSP_MAX_QUEUE_SIZE": "64",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "32",
        }
        traced.collector.mode = "refuse"  # before the start: what failed until "ok" was not received
        traced.amani.start()
        modes: tuple[Mode, ...] = ("refuse", "hang", "ok")
        failed = 0.0
        for mode, first in zip(modes, NUMBERS[::20], strict=True):
            failed = Accounts(traced.scrape).export_failed
            traced.collector.mode = mode
            post_and_fail(traced.amani, range(first, first + 20))
        traced.expect_no_alert_lost()
        before = traced.received()
        assert wait_until(lambda: traced.received() > before)
        counts = traced.stop_all()

    assert counts.ended == counts.exported + counts.dropped
    # A batch counts as dropped when its answer comes too late, or when the process's time to end is over. The
    # collector has it all the same.
    assert 0 <= traced.received() - counts.exported <= counts.dropped_at_exit + counts.export_failed - failed
    assert counts.dropped > 0
    assert counts.captured == counts.events_dropped > 0


def post_and_fail(installation: Installation, numbers: range) -> None:
    """An alert for each number, and a page and a task that fail."""
    with requests.Session() as session:
        for number in numbers:
            assert installation.post(firing([number]), session=session) == 200
            assert session.get(f"{installation.url}/test/fails", timeout=ANSWER_SECONDS).status_code == 500
            assert session.get(f"{installation.url}/test/queues", timeout=ANSWER_SECONDS).status_code == 200


def test_web_worker_and_beat_end_while_collector_and_sentry_hang(traced: Traced) -> None:
    """Before an export, which may take ten minutes here, has come to its end."""
    with silent_server() as address:
        traced.amani.environment |= HELD_UP | {
            "SENTRY_DSN": f"http://key@{address}/1",
            "OTLP_ENDPOINT": f"http://{address}",
        }
        traced.amani.start()
        post_and_fail(traced.amani, NUMBERS[:5])
        traced.amani.await_settled()
        counts = traced.stop_all()
    assert counts.exported == 0
    assert counts.ended == counts.dropped > 0
    assert counts.captured == counts.events_dropped > 0


def test_a_command_ends_while_collector_and_sentry_hang(traced: Traced) -> None:
    work = (
        "from observability.tracing import get_tracer;"
        "span = get_tracer('command').start_span('work'); span.end(); raise OSError('no')"
    )
    with silent_server() as address:
        traced.amani.environment |= HELD_UP | {
            "SENTRY_DSN": f"http://key@{address}/1",
            "OTLP_ENDPOINT": f"http://{address}",
        }
        done = run_command(traced.amani, "shell", "--no-imports", "--command", work)
    assert done.returncode == 1
    counts = Accounts(traced.scrape)
    assert (counts.ended, counts.dropped) == (1, 1)
    assert (counts.captured, counts.events_dropped) == (1, 1)
