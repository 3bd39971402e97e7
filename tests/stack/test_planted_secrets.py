"""Fifty secrets are planted in a whole running Amani; none is found in anything that left its processes.

All programs are real except Sentry and the vendors, whose stand-ins keep every byte. A mark, which is no
secret, is planted beside each secret in a text. It must arrive, so that an empty or cut off output fails.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import requests
from kombu import Connection

from core.tests.planted import PLANTED, found_in
from local.ports import find_free_port
from local.services import PrivatePostgres, PrivateValkey
from observability.tests.fake_sentry import FakeSentry
from observability.tests.otlp import OtlpReceiver
from observability.tests.payloads import alert, payload
from observability.tests.vendors import PAGERDUTY_OK, SLACK_OK, Reply, Vendor
from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS, wait_until
from tests.installation import TOKEN, Installation, run_command

pytestmark = [pytest.mark.stack, pytest.mark.processes]

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
DATABASE = "planted"
SECRET_KEY = "planted-secret-key-0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b"
COLLECTOR_KEY = "planted-collector-key-5544332211"
PAGERDUTY_KEY = "R9PLANTED8KEY7OF6PAGERDUTY5X4Y3Z"
SLACK_PATH = "services/T0PLANTED/B0PLANTED/abcdefghijklmnopqrstuvwx"
STORED = (
    "SELECT response FROM observability_attempt UNION ALL SELECT reason FROM observability_delivery"
    " UNION ALL SELECT flag_reason FROM observability_channel"
)

BROKEN = b"Error 111 connecting"  # errno's ECONNREFUSED, as the Redis client says it

# What reaches whom, though its secret doesn't: name of the plant, outputs with its mark.
SHOWN = {
    "form password": ("web", "sentry"),
    "json card": ("web",),
    "basic header": ("web", "sentry"),
    "reset token": ("web", "sentry"),
    "missing path": ("web", "sentry"),
    "user agent": ("web", "otlp", "sentry"),
    "referer": ("web",),
    "exception": ("web", "otlp", "sentry"),
    "cause": ("web", "otlp", "sentry"),
    "context of exception": ("web", "otlp", "sentry"),
    "group member": ("web", "otlp", "sentry"),
    "note": ("web", "otlp", "sentry"),
    "unknown task": ("worker", "sentry"),
    "task exception": ("worker", "otlp", "sentry"),
    "log message": ("web", "sentry"),
    "log argument": ("web", "sentry"),
    "log field": ("web", "sentry"),
    "breadcrumb": ("sentry",),
    "capture context": ("sentry",),
    "user info": ("sentry",),
    "span name": ("otlp",),
    "span attribute": ("otlp",),
    "span event": ("otlp",),
    "alert label": ("slack", "pagerduty"),
    "alert annotation": ("slack", "pagerduty"),
    "alert message": ("slack", "pagerduty"),
    "alert context text": ("slack", "pagerduty"),
    "vendor echo": ("web", "sentry"),
    "slack answer": ("stored",),
    "pagerduty answer": ("slack", "stored"),
}
# Nothing is worded there; so the output itself must have been looked at.
SAID = {
    "beat": BROKEN,
    "metrics": b'endpoint="/test/leaks"',
    "called headers": b"traceparent",
}

Outputs = dict[str, bytes]


def value(name: str) -> str:
    return PLANTED[name].value


class Surroundings:
    """Who takes what leaves Amani."""

    def __init__(self) -> None:
        self.collector = OtlpReceiver()
        self.sentry = FakeSentry()
        self.slack = Vendor(SLACK_OK)
        self.pagerduty = Vendor(PAGERDUTY_OK)
        self.called = Vendor(Reply(body=PLANTED["vendor echo"].text, headers={"Set-Cookie": cookie()}))

    def variables(self) -> dict[str, str]:
        return {
            "SECRET_KEY": SECRET_KEY,
            "TRACING_ENABLED": "true",
            "TRACING_EXPORTER": "otlp",
            "TRACING_SAMPLE_RATE": "1",
            "OTLP_PROTOCOL": "http/protobuf",
            "OTLP_ENDPOINT": self.collector.http_url,
            "OTLP_HEADERS": f"x-collector-key={COLLECTOR_KEY}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "SENTRY_DSN": self.sentry.dsn,
            "SENTRY_TRACES_SAMPLE_RATE": "1",
            "SLACK_WEBHOOK_URL": self.slack.url.removesuffix("vendor") + SLACK_PATH,
            "PAGERDUTY_API_KEY": PAGERDUTY_KEY,
            "PAGERDUTY_EVENTS_URL": self.pagerduty.url,
            "TEST_VENDOR_URL": self.called.url,
            "LOG_LEVEL": "DEBUG",
        }

    def close(self) -> None:
        for one in (self.collector, self.sentry, self.slack, self.pagerduty, self.called):
            one.close()


def cookie() -> str:
    return f"session={value('vendor header')}; Path=/"


@pytest.fixture(scope="module", params=["json", "console"])
def outputs(
    request: pytest.FixtureRequest, own_postgres: PrivatePostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outputs]:
    """Everything that left an Amani which was treated so, by where it went."""
    folder = tmp_path_factory.mktemp("planted")
    valkey = PrivateValkey(folder / "valkey", find_free_port())
    database = f"{DATABASE}_{request.param}"
    own_postgres.start()
    with psycopg.connect(own_postgres.superuser_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database} OWNER amani".encode())
    around = Surroundings()
    variables = around.variables() | {"LOG_FORMAT": request.param}
    installation = Installation(folder, own_postgres, valkey, database, **variables)
    try:
        yield plant_and_collect(installation, around)
    finally:
        installation.stop()
        valkey.remove()
        around.close()


def plant_and_collect(installation: Installation, around: Surroundings) -> Outputs:
    installation.valkey.start()
    installation.migrate()
    installation.start()
    plant_in_requests(installation)
    plant_in_alerts(installation, around)
    plant_in_tasks(installation)
    plant_in_command(installation)
    break_broker(installation)
    await_everything(installation, around)
    metrics = scrape(installation)
    for program in (installation.beat, installation.worker, installation.web):
        program.stop(PATIENCE_SECONDS)  # what waits is sent
    return collect(installation, around) | {"metrics": metrics}


# --- Planting ---


def plant_in_requests(installation: Installation) -> None:
    basic = base64.b64encode(f"amy:{value('basic header')}".encode()).decode()
    form = {"password": value("form password"), "email": value("query e-mail"), "about": "mark-form"}
    headers = {
        "X-Request-ID": value("request id"),
        "X-Api-Key": value("api key header"),
        "Cookie": f"sessionid={value('cookie')}; csrftoken={value('cookie')}",
        "User-Agent": PLANTED["user agent"].text,
        "Referer": PLANTED["referer"].text,
        "baggage": PLANTED["baggage"].wording.format(value("baggage")),
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        "tracestate": f"vendor={value('baggage')}",
    }
    query = {"token": value("query token"), "email": value("query e-mail"), "page": "2"}
    url = installation.url
    for authorization in (f"Bearer {value('bearer header')}", f"Basic {basic}"):
        signed = headers | {"Authorization": authorization}
        address = f"{url}/test/reset/{value('reset token')}/"
        answer = requests.post(address, data=form, headers=signed, params=query, timeout=ANSWER_SECONDS)
        assert answer.status_code == 500
        assert (
            requests.get(
                f"{url}/test/works", headers=signed, params=query, timeout=ANSWER_SECONDS
            ).status_code
            == 200
        )
    card = {"card": value("json card"), "about": PLANTED["json card"].text}
    assert (
        requests.post(f"{url}/test/leaks", json=card, headers=headers, timeout=ANSWER_SECONDS).status_code
        == 500
    )
    missing = requests.get(f"{url}/cards/{value('missing path')}", headers=headers, timeout=ANSWER_SECONDS)
    assert missing.status_code == 404
    refused = requests.get(
        f"{url}/test/works", headers={"Host": value("host") + ".example.com"}, timeout=ANSWER_SECONDS
    )
    assert refused.status_code == 400


def plant_in_alerts(installation: Installation, around: Surroundings) -> None:
    around.slack.replies = [Reply(500, PLANTED["slack answer"].text + f" at /{SLACK_PATH}")]
    said = f"{PLANTED['pagerduty answer'].text} with routing key {PAGERDUTY_KEY}"
    around.pagerduty.replies = [Reply(400, said)]
    labels = {
        "alertname": "Planted",
        "severity": "critical",
        "owner": PLANTED["alert label"].text,
        "api_key": value("alert label"),
        "instance": "mark-instance",
    }
    annotations = {
        "summary": PLANTED["alert annotation"].text,
        "description": PLANTED["alert annotation"].text,
        "runbook_url": PLANTED["alert link"].wording.format(value("alert link")),
    }
    link = PLANTED["alert link"].wording.format(value("alert link"))
    good = alert(1, labels=labels, annotations=annotations, generatorURL=link)
    bad = alert(2, status=PLANTED["bad alert"].text, annotations={"password": value("bad alert")})
    assert installation.post(json.dumps(payload(good, bad)).encode()) == 200
    assert installation.post(json.dumps({"version": value("bad alert")}).encode()) == 400
    assert installation.post(f"not JSON, {value('bad alert')}".encode()) == 400
    assert installation.post(b"{}", token=value("bearer header")) == 401


def plant_in_tasks(installation: Installation) -> None:
    """A task that the worker does not know: it logs the whole message."""
    body = [[PLANTED["unknown task"].mark], {"api_key": value("unknown task")}, {}]
    headers = {
        "lang": "py",
        "task": "tests.unknown",
        "id": "8a4b6f0e-unknown",
        "argsrepr": "",
        "kwargsrepr": "",
    }
    with Connection(installation.valkey.url) as broker:
        producer = broker.Producer(serializer="json")
        producer.publish(body, routing_key="celery", exchange="", headers=headers, correlation_id="1")
    # A message that Redis has just given out when it is killed does not come back.
    log, mark = installation.folder / "worker.log", PLANTED["unknown task"].mark.encode()
    assert wait_until(lambda: mark in log.read_bytes()), installation.log("worker")


def plant_in_command(installation: Installation) -> None:
    code = f"raise ValueError({PLANTED['exception'].text!r})"
    assert run_command(installation, "shell", "--command", code).returncode == 1


def break_broker(installation: Installation) -> None:
    """Beat and worker log that they cannot reach it; its address has a password."""
    installation.valkey.kill()
    logs = [installation.folder / f"{name}.log" for name in ("worker", "beat")]
    assert wait_until(lambda: all(BROKEN in log.read_bytes() for log in logs))
    installation.valkey.start()


def await_everything(installation: Installation, around: Surroundings) -> None:
    installation.await_settled_supervised()
    assert wait_until(lambda: len(around.sentry.of("event")) >= 10)
    around.collector.wait_for(lambda spans: {"run/tests.fail_task"} <= {span.name for span in spans})


# --- Collecting ---


def scrape(installation: Installation) -> bytes:
    answers = [
        requests.get(f"{installation.url}/metrics", headers={"Accept": accepted}, timeout=ANSWER_SECONDS)
        for accepted in (OPENMETRICS, "text/plain")
    ]
    return b"\n".join(answer.content for answer in answers)


def collect(installation: Installation, around: Surroundings) -> Outputs:
    logs = {name: (installation.folder / f"{name}.log").read_bytes() for name in ("web", "worker", "beat")}
    return logs | {
        "otlp": around.collector.everything(),
        "sentry": b"\n".join(around.sentry.bodies),
        "slack": everything_at(around.slack),
        "pagerduty": everything_at(around.pagerduty),
        "called headers": headers_at(around.called),
        "stored": json.dumps(installation.rows(STORED)).encode(),
    }


def everything_at(vendor: Vendor) -> bytes:
    return json.dumps(vendor.bodies(), ensure_ascii=False).encode() + headers_at(vendor)


def headers_at(vendor: Vendor) -> bytes:
    """Without the Authorization that our caller sets on purpose."""
    kept: list[Any] = [
        {name: text for name, text in received.headers.items() if name != "Authorization"}
        for received in vendor.received
    ]
    return json.dumps(kept).encode()


# --- What was found ---


def leaks_in(outputs: Outputs, secret: str) -> dict[str, list[str]]:
    found = {name: found_in(output, secret) for name, output in outputs.items()}
    return {name: forms for name, forms in found.items() if forms}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_secret_is_found_nowhere(outputs: Outputs, name: str) -> None:
    assert leaks_in(outputs, value(name)) == {}


@pytest.mark.parametrize("name", SHOWN)
def test_the_words_around_a_secret_arrive(outputs: Outputs, name: str) -> None:
    mark = PLANTED[name].mark.encode()
    assert [output for output in SHOWN[name] if mark not in outputs[output]] == []


@pytest.mark.parametrize("name", SAID)
def test_an_output_without_words_of_ours_is_not_empty(outputs: Outputs, name: str) -> None:
    assert SAID[name] in outputs[name]


def test_every_output_is_shown_to_be_looked_at(outputs: Outputs) -> None:
    assert {output for shown in SHOWN.values() for output in shown} | set(SAID) == set(outputs)


def test_a_configured_secret_goes_only_where_it_belongs(outputs: Outputs) -> None:
    secrets = {
        "secret key": SECRET_KEY,
        "webhook token": TOKEN,
        "collector key": COLLECTOR_KEY,
        "slack path": SLACK_PATH,
        "pagerduty key": PAGERDUTY_KEY,
    }
    found = {name: set(leaks_in(outputs, secret)) for name, secret in secrets.items()}
    assert found == {
        "secret key": set(),
        "webhook token": set(),
        "collector key": {"otlp"},
        "slack path": set(),
        "pagerduty key": {"pagerduty"},
    }


def test_the_passwords_of_database_and_broker_are_found_nowhere(
    outputs: Outputs, own_postgres: PrivatePostgres
) -> None:
    assert leaks_in(outputs, own_postgres.password) == {}
