"""One request, followed everywhere: it queues a task, which calls a vendor and then fails.

All of it is real but the vendor: web and worker processes, an OTLP receiver, a Sentry server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from local.services import PrivatePostgres
from observability.tests.otlp_spans import Span
from observability.tests.vendors import Received
from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS
from tests.stack.bugsink import Bugsink, Event
from tests.stack.observed import ROUTE, TASK, Observed, observed

pytestmark = [pytest.mark.stack, pytest.mark.processes]

REQUEST_ID = "request-followed-everywhere"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# A caller we have no reason to believe: none of this may appear but as a link.
STRANGER = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "X-Request-ID": REQUEST_ID}


@dataclass(frozen=True)
class Journey:
    """Everything that one request left behind."""

    answer: requests.Response
    access_line: dict[str, Any]
    task_line: dict[str, Any]
    spans: list[Span]
    call: Received
    events: list[Event]
    samples: list[Sample]

    def span(self, name: str) -> Span:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    @property
    def request_span(self) -> Span:
        return self.span(f"GET {ROUTE}")

    @property
    def task_span(self) -> Span:
        return self.span(f"run/{TASK}")

    @property
    def call_span(self) -> Span:
        below = [span for span in self.spans if span.parent_id == self.task_span.span_id]
        (found,) = [span for span in below if span.kind == "CLIENT"]
        return found

    @property
    def trace_id(self) -> str:
        return self.request_span.trace_id

    def exemplar(self, name: str, **labels: str) -> dict[str, str]:
        """The labels of the one exemplar on the series of this name."""
        series = [sample for sample in self.samples if sample.name == name]
        shown = [one.exemplar for one in series if labels.items() <= one.labels.items()]
        (found,) = [exemplar.labels for exemplar in shown if exemplar]
        return found

    @property
    def exemplars(self) -> list[dict[str, str]]:
        """Of the duration of the request, and of the failed task."""
        return [
            self.exemplar("http_request_duration_seconds_bucket", endpoint=ROUTE),
            self.exemplar("amani_celery_tasks_total", task=TASK, outcome="failure"),
            self.exemplar("amani_celery_task_duration_seconds_bucket", task=TASK),
        ]


@pytest.fixture(scope="module", params=["http/protobuf", "grpc"])
def journey(
    request: pytest.FixtureRequest,
    own_postgres: PrivatePostgres,
    bugsink: Bugsink,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Journey]:
    folder = tmp_path_factory.mktemp("followed")
    database = f"followed_{request.param.partition('/')[0]}"
    with observed(folder, own_postgres, bugsink, database, request.param) as everything:
        everything.start()
        yield travel(everything)


def travel(everything: Observed) -> Journey:
    installation, receiver = everything.installation, everything.receiver
    answer = requests.get(f"{installation.url}{ROUTE}", headers=STRANGER, timeout=ANSWER_SECONDS)
    spans = receiver.wait_for(
        lambda spans: {f"GET {ROUTE}", f"run/{TASK}"} <= {span.name for span in spans}, PATIENCE_SECONDS
    )
    everything.project.wait_for_event(seconds=PATIENCE_SECONDS)
    samples = scrape(installation.url)
    installation.worker.stop(PATIENCE_SECONDS)  # whatever else it had to say is said now
    return Journey(
        answer=answer,
        access_line=line_of(installation.folder / "web.log", "path", ROUTE),
        task_line=line_of(installation.folder / "worker.log", "event", "vendor_called"),
        spans=spans,
        call=everything.vendor.received[0],
        events=everything.project.events(),
        samples=samples,
    )


def line_of(log: Path, key: str, value: str) -> dict[str, Any]:
    """The one JSON line that says so."""
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")
    ]
    (found,) = [line for line in lines if line.get(key) == value]
    return found


def scrape(url: str) -> list[Sample]:
    answer = requests.get(f"{url}/metrics", headers={"Accept": OPENMETRICS}, timeout=ANSWER_SECONDS)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    families = text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
    return [sample for family in families for sample in family.samples]


# --- One trace ---


def test_the_access_line_names_the_trace_of_the_request(journey: Journey) -> None:
    line, span = journey.access_line, journey.request_span
    assert (line["trace_id"], line["span_id"]) == (span.trace_id, span.span_id)


def test_what_the_task_logs_names_its_span(journey: Journey) -> None:
    line, span = journey.task_line, journey.task_span
    assert (line["trace_id"], line["span_id"]) == (span.trace_id, span.span_id)


def test_the_request_is_the_root_and_a_strangers_trace_is_only_linked(journey: Journey) -> None:
    span = journey.request_span
    assert (span.kind, span.parent_id, span.status) == ("SERVER", "", "UNSET")
    assert [link.trace_id for link in span.links] == ["a" * 32]
    assert span.resource["service.name"] == "amani-backend"


def test_query_publish_run_and_call_are_in_the_trace_of_the_request(journey: Journey) -> None:
    query, publish = journey.span("SELECT auth_group"), journey.span(f"apply_async/{TASK}")
    run, call = journey.task_span, journey.call_span
    assert {span.trace_id for span in (query, publish, run, call)} == {journey.trace_id}
    assert query.parent_id == publish.parent_id == journey.request_span.span_id
    assert run.parent_id == publish.span_id
    assert (publish.kind, run.kind, call.kind) == ("PRODUCER", "CONSUMER", "CLIENT")
    assert (run.status, run.attributes["error.type"]) == ("ERROR", "RuntimeError")
    assert run.resource["amani.process"] == "worker"


def test_the_vendor_gets_the_trace(journey: Journey) -> None:
    version, trace_id, span_id, flags = journey.call.headers["traceparent"].split("-")
    assert (version, trace_id, span_id) == ("00", journey.trace_id, journey.call_span.span_id)
    assert int(flags, 16) & 1  # sampled


def test_the_failed_task_is_one_event_with_the_trace(journey: Journey) -> None:
    (event,) = journey.events
    assert event["exception"]["values"][-1]["value"] == "This task fails on purpose."
    assert event["contexts"]["trace"]["trace_id"] == journey.trace_id
    assert event["contexts"]["trace"]["span_id"] == journey.task_span.span_id


def test_the_counters_and_durations_of_request_and_task_have_exemplars_of_the_trace(
    journey: Journey,
) -> None:
    assert [exemplar["trace_id"] for exemplar in journey.exemplars] == [journey.trace_id] * 3


# --- One request id ---


def test_the_answer_and_the_log_lines_have_the_request_id(journey: Journey) -> None:
    assert journey.answer.headers["X-Request-ID"] == REQUEST_ID
    assert journey.access_line["request_id"] == REQUEST_ID
    assert journey.task_line["request_id"] == REQUEST_ID


def test_the_spans_of_request_publish_run_and_call_have_the_request_id(journey: Journey) -> None:
    publish = journey.span(f"apply_async/{TASK}")
    spans = (journey.request_span, publish, journey.task_span, journey.call_span)
    assert [span.attributes["amani.request_id"] for span in spans] == [REQUEST_ID] * 4


def test_the_vendor_gets_the_request_id(journey: Journey) -> None:
    assert journey.call.headers["X-Request-ID"] == REQUEST_ID


def test_the_event_has_the_request_id(journey: Journey) -> None:
    (event,) = journey.events
    assert event["tags"]["request_id"] == REQUEST_ID


def test_the_exemplars_have_the_request_id(journey: Journey) -> None:
    assert [exemplar["request_id"] for exemplar in journey.exemplars] == [REQUEST_ID] * 3
