"""All logs leave through one formatter: JSON lines in production, readable lines in development.

Imported by the settings, so nothing here may read them.
"""

import json
import logging
import sys
import time
from contextlib import nullcontext
from typing import Any, Literal

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from core.request_id import request_id
from core.scrubbing import scrub, scrub_text, scrubber
from observability.telemetry.errors.trail import trail
from observability.telemetry.traces.current import current_trace

ACCESS_LOGGER = "amani.access"
access_logger = logging.getLogger(ACCESS_LOGGER)


# Set by the processors below, whatever a caller says.
MADE_HERE = ("timestamp", "level", "logger")

# What every other formatter may ask a record for.
ACCESS_RECORD: dict[str, object] = {
    **logging.LogRecord(ACCESS_LOGGER, logging.INFO, "", 0, "request", None, None).__dict__,
    "thread": None,
    "threadName": None,
}
ACCESS_ENCODER = json.JSONEncoder(default=repr)


class AccessRecord(logging.LogRecord):
    """The log record of one answered request; `fields` holds what the line says.

    It skips LogRecord's own set-up (caller, thread and process names), which costs more than the line itself.
    """

    fields: dict[str, Any]

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__dict__ = {**ACCESS_RECORD, "created": time.time(), "fields": fields}


class Formatter(structlog.stdlib.ProcessorFormatter):
    """Formats records of the standard library and of structlog, and access records by a shorter chain."""

    def __init__(self, log_format: Literal["json", "console"]) -> None:
        as_json = log_format == "json"
        self.access_processors = access_processors(as_json=as_json)
        super().__init__(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared_processors()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(json_processors() if as_json else console_processors()),
            ],
        )

    def format(self, record: logging.LogRecord) -> str:
        if type(record) is not AccessRecord:
            trail.add_record(record)
            return super().format(record)
        event: Any = {"event": "request", "logger": ACCESS_LOGGER, "level": "info", **record.fields}
        for processor in self.access_processors:
            event = processor(None, "info", event)
        return str(event)


class AccessHandler(logging.StreamHandler[Any]):
    """Writes access lines with a third of the calls that a StreamHandler makes. Its formatter must be set."""

    def handle(self, record: logging.LogRecord) -> bool:
        try:
            line = self.formatter.format(record) + "\n"  # type: ignore[union-attr]  # None is handled below
            with self.lock or nullcontext():
                self.stream.write(line)
                if not self.stream.line_buffering:  # as standard error is
                    self.stream.flush()
        except Exception:  # noqa: BLE001  (logging's own way: it says so on standard error)
            self.handleError(record)
        return True


def access_processors(*, as_json: bool) -> list[Processor]:
    """The chain for access lines: their fields are complete, and the path is the only free text in them."""
    if as_json:
        return [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            scrub_path,
            structlog.processors.JSONRenderer(serializer=access_json),
        ]
    return [structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=True), scrub_path, render_access_as_text]


def scrub_path(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    if scrubber.is_unusual(event["path"]) is not None:  # one search, which most paths pass
        event["path"] = scrub_text(event["path"])
    return event


def access_json(event: EventDict, **_options: Any) -> str:
    """Return `event` as JSON; json.dumps would make an encoder for each line."""
    return ACCESS_ENCODER.encode(event)


def render_access_as_text(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    # The path is quoted as JSON does it, because it may contain line ends and terminal codes.
    path = json.dumps(event["path"])[1:-1]
    what = f"{event['status']} {event['method']} {path}"
    return f"{event['timestamp']} {what} {event['duration_ms']} ms {event['request_id']}"


def shared_processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        add_request_id,
        add_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def add_request_id(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    current = request_id.get()
    if current:
        event.setdefault("request_id", current)
    return event


def add_trace(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    trace = current_trace()
    if trace is not None:
        event.setdefault("trace_id", trace.trace_id)
        event.setdefault("span_id", trace.span_id)
    return event


def json_processors() -> list[Any]:
    # Local variables hold passwords and personal data, so the structured exception leaves them out.
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    renderer = structlog.processors.JSONRenderer()
    return [structlog.processors.ExceptionRenderer(transformer), scrub_event, renderer]


def console_processors() -> list[Any]:
    """The exception is text before it is scrubbed; structlog's prettier ones show local variables."""
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [structlog.processors.format_exc_info, scrub_event, renderer]


def scrub_event(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Everything that is said, but not what was made here: scrubbing each line's time would cost the most."""
    ours = {name: event.pop(name) for name in MADE_HERE if name in event}
    return {**scrub(event), **ours}


def logging_config(level: str, log_format: str) -> dict[str, Any]:
    """Django's LOGGING: everything to stderr, each record through `Formatter`. Also sets up structlog."""
    if log_format not in {"json", "console"}:
        message = f"LOG_FORMAT is {log_format!r}; must be json or console."
        raise ValueError(message)
    configure_structlog()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "amani": {"()": "observability.telemetry.logs.formatting.Formatter", "log_format": log_format}
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "amani"},
            "access": {
                "class": "observability.telemetry.logs.formatting.AccessHandler",
                "stream": "ext://sys.stderr",
                "formatter": "amani",
            },
            "errors": {"class": "observability.sentry.ErrorHandler", "level": "ERROR"},
        },
        "root": {"handlers": ["stderr", "errors"], "level": level},
        "loggers": quiet_loggers(),
    }


def quiet_loggers() -> dict[str, dict[str, Any]]:
    """Loggers that have handlers of their own by default, or say for every request what another line says."""

    def through_root(level: str = "NOTSET") -> dict[str, Any]:
        return {"handlers": [], "propagate": True, "level": level}

    return {
        ACCESS_LOGGER: {"handlers": ["access"], "propagate": False},
        "django": through_root("INFO"),
        "django.server": through_root("WARNING"),
        "django.request": through_root("ERROR"),  # a 4xx is in the access line
        "gunicorn.error": through_root(),
        "celery": through_root(),
        "celery.app.trace": through_root("WARNING"),  # "succeeded", every second
        "celery.worker.strategy": through_root("WARNING"),  # "received"
        "celery.beat": through_root("WARNING"),  # "sending due task"
    }


def configure_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared_processors(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
