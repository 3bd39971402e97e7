"""Log lines: one formatter for all, JSON in production, readable in development."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from observability.logging import AccessRecord, Formatter, logging_config
from observability.request_id import request_id

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
    assert exception["exc_value"] == "invalid literal for int() with base 10: 'xxxxxxxxxxxxxx'"
    assert exception["frames"][-1]["name"] == "test_an_exception_is_a_structure_without_local_variables"
    assert password not in text


def test_an_access_record_is_one_json_line() -> None:
    text = Formatter("json").format(AccessRecord(FIELDS))
    assert "\n" not in text
    line = json.loads(text)
    assert line.pop("timestamp").startswith("20")
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


def test_nothing_but_the_root_has_a_handler() -> None:
    config = logging_config("INFO", "json")
    assert config["root"] == {"handlers": ["stderr", "errors"], "level": "INFO"}
    assert {tuple(one["handlers"]) for one in config["loggers"].values()} == {()}
