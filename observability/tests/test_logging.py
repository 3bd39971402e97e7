"""Log lines: one formatter for all, JSON in production, readable in development."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any, Literal

import pytest
import structlog
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from core.request_id import choose_request_id, request_id
from core.tests.planted import PLANTED, Planted, found_in
from observability.telemetry.logs.formatting import AccessHandler, AccessRecord, Formatter, logging_config

FIELDS: dict[str, object] = {
    "method": "GET",
    "path": "/a\nb",
    "endpoint": "unmatched",
    "status": 404,
    "duration_ms": 1.5,
    "request_id": "request-0001",
    "remote_address": "127.0.0.1",
}


@pytest.fixture
def current_request() -> Iterator[None]:
    token = request_id.set("request-0001")
    yield
    request_id.reset(token)


def record(message: str, *arguments: object, **extra: Any) -> logging.LogRecord:
    return logging.getLogger("some.library").makeRecord(
        "some.library",
        logging.WARNING,
        "file.py",
        1,
        message,
        arguments,
        extra.pop("exc_info", None),
        extra=extra,
    )


@pytest.mark.usefixtures("current_request")
def test_a_line_of_the_standard_library_is_json_with_the_request_id() -> None:
    line = json.loads(Formatter("json").format(record("%s of %d", "one", 2, channel="slack")))
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "one of 2",
        "level": "warning",
        "logger": "some.library",
        "channel": "slack",
        "request_id": "request-0001",
    }


@pytest.mark.usefixtures("current_request")
def test_a_line_of_structlog_goes_the_same_way(caplog: pytest.LogCaptureFixture) -> None:
    with structlog.contextvars.bound_contextvars(episode=7):
        structlog.get_logger("amani.test").warning("delivered", channel="slack")
    (one,) = caplog.records
    line = json.loads(Formatter("json").format(one))
    assert (line["event"], line["logger"], line["channel"]) == ("delivered", "amani.test", "slack")
    assert (line["episode"], line["request_id"]) == (7, "request-0001")


def test_a_line_written_inside_a_span_names_it() -> None:
    context = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    with use_span(NonRecordingSpan(context)):
        line = json.loads(Formatter("json").format(record("inside")))
    assert (line["trace_id"], line["span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")
    assert "trace_id" not in json.loads(Formatter("json").format(record("outside")))


def test_an_exception_is_a_structure_without_local_variables() -> None:
    password = "planted-secret"
    try:
        int("x" * len(password))
    except ValueError:
        text = Formatter("json").format(record("failed", exc_info=sys.exc_info()))
    (exception,) = json.loads(text)["exception"]
    assert exception["exc_type"] == "ValueError"
    assert exception["exc_value"] == "invalid literal for int() with base 10: '[redacted]'"
    assert exception["frames"][-1]["name"] == "test_an_exception_is_a_structure_without_local_variables"
    assert password not in text


def test_an_access_record_is_one_json_line() -> None:
    before = datetime.now(UTC)
    text = Formatter("json").format(AccessRecord(FIELDS))
    assert "\n" not in text
    line = json.loads(text)
    assert before <= datetime.fromisoformat(line.pop("timestamp")) <= datetime.now(UTC)
    assert line == {"event": "request", "level": "info", "logger": "amani.access", **FIELDS}


def test_an_access_record_is_one_readable_line_in_development() -> None:
    text = Formatter("console").format(AccessRecord(FIELDS))
    assert text.endswith(" 404 GET /a\\nb 1.5 ms request-0001")
    assert "\n" not in text


def test_development_lines_are_readable() -> None:
    text = Formatter("console").format(record("started", port=8000))
    assert "started" in text
    assert "port=8000" in text
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="LOG_FORMAT is 'xml'; must be json or console"):
        logging_config("INFO", "xml")


def test_nothing_but_the_root_and_the_access_line_has_a_handler() -> None:
    config = logging_config("INFO", "json")
    assert config["root"] == {"handlers": ["stderr", "errors"], "level": "INFO"}
    handlers = {name: one["handlers"] for name, one in config["loggers"].items() if one["handlers"]}
    assert handlers == {"amani.access": ["access"]}


# --- No secret leaves in a log line ---

FORMATS = ("json", "console")


def lines_about(planted: Planted, log_format: Literal["json", "console"]) -> str:
    """Log lines that say the secret in every way a log line can."""
    output = StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(Formatter(log_format))
    logger = logging.getLogger("some.application")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        say(planted, logger)
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    return output.getvalue()


def say(planted: Planted, logger: logging.Logger) -> None:
    structured = structlog.stdlib.get_logger("some.application")
    text, value = planted.text, planted.value
    logger.warning(text)
    logger.warning("said %s and %r", text, [text])
    logger.warning(
        "extra", extra={"password": value, "note": text, "data": {"args": (text,), "token": value}}
    )
    structured.warning(text, api_key=value, note=text, nested={"headers": [("Cookie", value), ("X", text)]})
    structured.warning("positional %s", text)
    with structlog.contextvars.bound_contextvars(secret=value, note=text):
        structured.warning("bound")
    try:
        fail_with(planted)
    except ValueError as problem:
        problem.add_note(text)
        logger.exception("failed")
        structured.exception("failed", exc_info=problem)
        structured.error("failed", stack_info=True, error=problem)


def fail_with(planted: Planted) -> None:
    local_variable = planted.value
    nothing: dict[str, str] = {}
    try:
        nothing[planted.text]
    except KeyError as cause:
        raise ValueError(planted.text, len(local_variable)) from cause


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("name", PLANTED)
def test_no_log_line_shows_a_planted_secret(name: str, log_format: Literal["json", "console"]) -> None:
    planted = PLANTED[name]
    if planted.wording == "{}":  # nothing around it and no form of its own: only its key can tell
        planted = planted._replace(wording="password: {}")
    lines = lines_about(planted, log_format)
    assert lines.count(planted.mark) >= 10
    assert found_in(lines.encode(), planted.value) == []


@pytest.mark.parametrize("log_format", FORMATS)
def test_an_access_line_shows_no_secret_of_its_path(log_format: Literal["json", "console"]) -> None:
    text = Formatter(log_format).format(
        AccessRecord(FIELDS | {"path": "/people/amy@example.com/0803 123 4567"})
    )
    assert "/people/[redacted]/[redacted]" in text


def test_the_time_the_level_and_the_logger_are_ours_to_say() -> None:
    line = json.loads(
        Formatter("json").format(record("x", timestamp="amy@example.com", level="amy@example.com"))
    )
    assert (line["level"], line["logger"]) == ("warning", "some.library")
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "offered", ["22123456789", "4111-1111-1111-1111", "sk_live_abcdefgh", "0803-123-4567"]
)
def test_an_offered_request_id_that_may_be_a_secret_is_replaced(offered: str) -> None:
    chosen = choose_request_id(offered)
    assert chosen != offered
    assert len(chosen) == 32


@pytest.mark.parametrize(
    "offered", ["request-0001", "550e8400-e29b-41d4-a716-446655440000", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"]
)
def test_an_ordinary_request_id_is_kept(offered: str) -> None:
    assert choose_request_id(offered) == offered


def test_the_access_handler_writes_whole_lines_and_survives_a_broken_stream(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = io.StringIO()
    handler = AccessHandler(stream)
    handler.setFormatter(Formatter("json"))
    handler.handle(AccessRecord(dict(FIELDS)))
    handler.handle(AccessRecord(dict(FIELDS)))
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["request", "request"]
    stream.close()
    handler.handle(AccessRecord(dict(FIELDS)))
    assert "I/O operation on closed file" in capsys.readouterr().err


@pytest.mark.parametrize("hostile", ['"', "\\", "\x00\x1b\u2028", "\ud800", "é😀", "{%s}"])
def test_an_access_line_is_json_whatever_a_client_sends(hostile: str) -> None:
    fields = {**FIELDS, **dict.fromkeys(("method", "path", "endpoint", "remote_address"), hostile)}
    fields |= {"trace_id": "ab" * 16, "span_id": "cd" * 8, "sampled": True, "user_id": 7}
    line = json.loads(Formatter("json").format(AccessRecord(fields)))
    line.pop("timestamp")
    assert line == {"event": "request", "level": "info", "logger": "amani.access", **fields}
