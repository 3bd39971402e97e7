"""Addresses and commands are filled in for the alert, and nothing from a label changes what they are."""

import json
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pytest_django import Settings

from observability.admin.cause import links, logs
from observability.admin.cause.subject import Kind, Subject
from observability.models import Episode

START = datetime(2026, 3, 4, 2, 9, tzinfo=UTC)
END = datetime(2026, 3, 4, 2, 30, tzinfo=UTC)
MILLISECONDS = ("1772590140000", "1772591400000")
ENDPOINT = "/api/v1/deals/<int:pk>/"
HOSTILE = [
    '/x"} or vector(1) #',
    "/x'; touch pwned; '",
    "/$(touch pwned)`touch pwned`",
    '/\\("a"|input)" and true or "',
    "/x&start=0#fragment?y=1",
    "/<script>alert(1)</script>",
    "/{start}{end}%22",
    "/* OR 1",
    "-e/etc/passwd",
]


@pytest.fixture(autouse=True)
def everything_on(settings: Settings) -> None:
    settings.TRACING_ENABLED = True
    settings.JAEGER_URL = "http://jaeger:16686"
    settings.SENTRY_URL = "https://sentry.example/issues/?project=1&query=is%3Aunresolved&statsPeriod=14d"
    settings.GRAFANA_URL = "https://grafana.example/d/amani?orgId=1"
    settings.LOGS_URL = "https://logs.example/?q={query}&from={start}&to={end}"
    settings.ENVIRONMENT = "staging"


def about(kind: Kind = Kind.REQUESTS, **changes: Any) -> Subject:
    return Subject(kind=kind, about_errors=changes.pop("about_errors", True), start=START, end=END, **changes)


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query, strict_parsing=True).items()}


def test_failed_requests_of_an_endpoint_are_searched_in_jaeger() -> None:
    url = links.trace_search(about(endpoint=ENDPOINT, method="POST"))
    assert url.startswith("http://jaeger:16686/search?")
    query = query_of(url)
    assert json.loads(query.pop("tags")) == {
        "http.route": ENDPOINT,
        "http.request.method": "POST",
        "error": "true",
    }
    assert query == {
        "service": "amani-backend",
        "lookback": "custom",
        "start": MILLISECONDS[0] + "000",
        "end": MILLISECONDS[1] + "000",
        "limit": "20",
    }


@pytest.mark.parametrize(
    ("subject", "tags", "slower_than"),
    [
        (about(about_errors=False), None, "500ms"),
        (about(endpoint="unmatched"), {"error": "true"}, None),
        (
            about(Kind.QUERIES, operation="SELECT", about_errors=False),
            {"db.operation.name": "SELECT"},
            "250ms",
        ),
        (about(Kind.TASKS, task="a.b"), {"celery.task_name": "a.b", "error": "true"}, None),
        (about(Kind.OTHER, about_errors=False), None, None),
    ],
)
def test_other_alerts_are_searched_by_what_they_are_about(
    subject: Subject, tags: dict[str, str] | None, slower_than: str | None
) -> None:
    query = query_of(links.trace_search(subject))
    assert (json.loads(query["tags"]) if "tags" in query else None) == tags
    assert query.get("minDuration") == slower_than


def test_issues_in_sentry_keep_what_its_address_asks_for() -> None:
    assert query_of(links.error_search(about(endpoint='/a*"b'))) == {
        "project": "1",
        "start": "2026-03-04T02:09:00",
        "end": "2026-03-04T02:30:00",
        "utc": "true",
        "environment": "staging",
        "query": 'is:unresolved transaction:"/a\\*\\"b"',
    }


def test_dashboard_opens_at_the_alerts_time() -> None:
    url = links.dashboard(about(endpoint=ENDPOINT), Episode())
    assert url.startswith("https://grafana.example/d/amani?orgId=1&from=")
    assert query_of(url) == {
        "orgId": "1",
        "from": MILLISECONDS[0],
        "to": MILLISECONDS[1],
        "var-endpoint": ENDPOINT,
    }


@pytest.mark.parametrize("name", ["dashboard_url", "dashboard"])
def test_the_rules_own_dashboard_comes_first(name: str) -> None:
    episode = Episode(annotations={name: "https://g.example/d/1?from=now-1h&var-x=1"})
    url = links.dashboard(about(endpoint="/x"), episode)
    expected = f"https://g.example/d/1?var-x=1&from={MILLISECONDS[0]}&to={MILLISECONDS[1]}"
    assert url == expected


@pytest.mark.parametrize("address", ["javascript:alert(1)", "https://a@evil.example/", "//evil.example"])
def test_a_dashboard_that_is_no_web_address_is_not_linked(address: str, settings: Settings) -> None:
    settings.GRAFANA_URL = ""
    assert links.dashboard(about(), Episode(annotations={"dashboard_url": address})) == ""


def test_logs_are_searched_for_a_phrase() -> None:
    url = links.log_search('/a "b"\\', START, END)
    assert query_of(url) == {
        "q": '"/a \\"b\\"\\\\"',
        "from": "2026-03-04T02:09:00Z",
        "to": "2026-03-04T02:30:00Z",
    }


def test_logs_may_be_asked_in_milliseconds(settings: Settings) -> None:
    settings.LOGS_URL = "https://logs.example/{start_ms}/{end_ms}"
    assert links.log_search("x", START, END) == "https://logs.example/" + "/".join(MILLISECONDS)


def test_what_is_off_has_no_address(settings: Settings) -> None:
    settings.TRACING_ENABLED = False
    settings.SENTRY_URL = settings.GRAFANA_URL = settings.LOGS_URL = ""
    assert links.trace_search(about()) == ""
    assert links.error_search(about()) == ""
    assert links.dashboard(about(), Episode()) == ""
    assert links.log_search("x", START, END) == ""


def test_a_broken_address_in_a_setting_is_no_link(settings: Settings) -> None:
    settings.SENTRY_URL = settings.GRAFANA_URL = "https://[broken"
    assert links.error_search(about()) == ""
    assert links.dashboard(about(), Episode()) == ""


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_endpoint_stays_one_value_of_every_address(value: str) -> None:
    subject = about(endpoint=value)
    search = query_of(links.trace_search(subject))
    assert json.loads(search["tags"]).get("http.route") == (value if value.startswith("/") else None)
    assert (search["start"], search["end"]) == tuple(f"{moment}000" for moment in MILLISECONDS)
    assert query_of(links.dashboard(subject, Episode()))["var-endpoint"] == value
    issues = query_of(links.error_search(subject))
    assert issues["query"] == f'is:unresolved transaction:"{links.escaped_for_sentry(value)}"'
    lines = query_of(links.log_search(value, START, END))
    assert lines["q"] == json.dumps(value)
    assert lines["from"] == "2026-03-04T02:09:00Z"
    for url in (
        links.trace_search(subject),
        links.error_search(subject),
        links.log_search(value, START, END),
    ):
        assert urlsplit(url).fragment == ""
        assert not set(url) & set("<>\"' `{}")


# --- Commands: run by a real shell ---

LINES = [
    {"timestamp": "2026-03-04T02:10:00.5+00:00", "status": 500, "endpoint": "/x/", "duration_ms": 3.0},
    {"timestamp": "2026-03-04T02:11:00.5+00:00", "status": 200, "endpoint": "/x/", "duration_ms": 900.0},
    {"timestamp": "2026-03-04T02:12:00.5+00:00", "status": 503, "endpoint": "/y/", "duration_ms": 3.0},
    {"timestamp": "2026-03-04T02:31:00.5+00:00", "status": 500, "endpoint": "/x/", "duration_ms": 3.0},
    {"timestamp": "2026-03-04T02:13:00Z", "level": "error", "event": "Task a.b[1] failed"},
    {"timestamp": "2026-03-04T02:13:00Z", "level": "info", "event": "Task a.b[1] began"},
]
TEXT = """\
02:10:00 500 GET /x/1/ 3.0 ms aaaaaaaa
02:11:00 200 GET /x/1/ 900.0 ms bbbbbbbb
02:12:00 503 GET /y/ 3.0 ms cccccccc
02:31:00 500 GET /x/1/ 3.0 ms dddddddd
2026-03-04T02:12:00.1Z [error    ] Internal Server Error: /x/1/ [django.request] request_id=aaaaaaaa
"""


@pytest.fixture
def run(tmp_path: Path, settings: Settings) -> Any:
    """`run(command)` is what the command prints in a checkout with a log."""
    settings.DEBUG, settings.LOG_FORMAT = True, "json"
    folder = tmp_path / ".run" / "log"
    folder.mkdir(parents=True)
    json_lines = "".join(json.dumps(line) + "\n" for line in LINES)
    (folder / "web.log").write_text(f"not json\n42\n{json_lines}")
    (folder / "worker.log").write_text(json_lines)

    def output(command: str) -> list[str]:
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        assert sorted(path.name for path in tmp_path.iterdir()) == [".run"]
        return done.stdout.splitlines()

    return output


@pytest.mark.needs("jq")
@pytest.mark.parametrize(
    ("subject", "numbers"),
    [
        (about(), [0, 2]),
        (about(endpoint="/x/"), [0]),
        (about(about_errors=False), [1]),
        (about(Kind.TASKS), [4]),
        (about(Kind.TASKS, task="a.b"), [4]),
        (about(Kind.DELIVERIES, channel="slack"), [4]),
        (about(Kind.TASKS, task="c"), []),
    ],
)
def test_the_command_finds_the_lines_of_the_alert(run: Any, subject: Subject, numbers: list[int]) -> None:
    assert [LINES.index(json.loads(line)) for line in run(logs.command(subject))] == numbers


@pytest.mark.parametrize(
    ("subject", "ids"),
    [
        (about(), ["aaaaaaaa", "cccccccc"]),
        (about(endpoint="/x/<int:pk>/"), ["aaaaaaaa"]),
        (about(about_errors=False), ["bbbbbbbb"]),
    ],
)
def test_the_command_finds_readable_lines_too(
    run: Any, subject: Subject, ids: list[str], tmp_path: Path, settings: Settings
) -> None:
    settings.LOG_FORMAT = "console"
    (tmp_path / ".run" / "log" / "web.log").write_text(TEXT)
    assert [line.rpartition(" ")[2] for line in run(logs.command(subject))] == ids


def test_the_command_finds_readable_lines_on_both_sides_of_midnight(
    run: Any, tmp_path: Path, settings: Settings
) -> None:
    settings.LOG_FORMAT = "console"
    (tmp_path / ".run" / "log" / "web.log").write_text(
        "23:58:00 500 GET / 1.0 ms aaaa\n00:01:00 500 GET / 1.0 ms bbbb\n12:00:00 500 GET / 1.0 ms cccc\n"
    )
    midnight = START.replace(hour=0, minute=0)
    minutes = timedelta(minutes=5)
    subject = Subject(Kind.REQUESTS, about_errors=True, start=midnight - minutes, end=midnight + minutes)
    assert len(run(logs.command(subject))) == 2


@pytest.mark.needs("jq")
@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_label_is_only_a_string_to_the_shell(
    run: Any, value: str, log_format: str, settings: Settings
) -> None:
    settings.LOG_FORMAT = log_format
    for subject in (about(endpoint=value), about(Kind.TASKS, task=value)):
        assert run(logs.command(subject)) == []


def test_without_a_checkout_the_containers_are_asked(settings: Settings) -> None:
    settings.DEBUG, settings.LOG_FORMAT = False, "json"
    period = "--since 2026-03-04T02:09:00Z --until 2026-03-04T02:30:00Z"
    assert logs.command(about()).startswith(f"docker compose logs --no-log-prefix {period} app | jq -cR ")
    for kind in (Kind.TASKS, Kind.DELIVERIES):
        command = logs.command(about(kind))
        assert command.startswith(f"docker compose logs --no-log-prefix {period} worker | jq ")
    assert logs.request_command("0123456789abcdef", START) == (
        "docker compose logs --no-log-prefix --since 2026-03-04T02:04:00Z --until 2026-03-04T02:14:00Z "
        "app worker beat | grep -F -- 0123456789abcdef"
    )


def test_all_lines_of_one_request_are_found_in_every_log(run: Any, tmp_path: Path) -> None:
    for name in ("web", "worker"):
        (tmp_path / ".run" / "log" / f"{name}.log").write_text("a 0123456789abcdef\nb\n")
    assert run(logs.request_command("0123456789abcdef", START)) == ["a 0123456789abcdef"] * 2


@pytest.mark.parametrize("text", ["", "$(touch pwned)", "short", "a" * 65, "0123456789\n"])
def test_what_is_no_request_id_becomes_no_command(text: str) -> None:
    assert logs.request_command(text, START) == ""


def test_words_of_the_command_are_quoted_for_the_shell(settings: Settings) -> None:
    settings.DEBUG, settings.LOG_FORMAT = True, "json"
    assert shlex.split(logs.command(about(endpoint="/it's")))[:2] == ["jq", "-cR"]
