"""Scrubs spans in the thread that sends them, so that it costs no request anything."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, Status

from core.scrubbing import scrub, scrub_text, scrubber

# Written by Amani from closed sets, or clean already (observability/telemetry/traces/statements.py).
CLEAN = frozenset(
    {
        "amani.request_id",
        "celery.action",
        "celery.task_name",
        "db.namespace",
        "db.operation.name",
        "db.query.text",
        "db.system.name",
        "http.request.method",
        "http.route",
        "messaging.message.id",
        "url.scheme",
    }
)
LONGEST_REMEMBERED = 300  # characters


class ScrubbingExporter(SpanExporter):
    """Gives `exporter` spans without secrets and personal data."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.exporter.export([scrubbed(span) for span in spans])

    def shutdown(self) -> None:
        self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.exporter.force_flush(timeout_millis)


def scrubbed(span: ReadableSpan) -> ReadableSpan:
    """Return a copy of `span` whose name, attributes, events, links and status hide secrets."""
    status = span.status
    if status.description:
        status = Status(status.status_code, scrub_text(status.description))
    return ReadableSpan(
        name=scrubbed_text(span.name, "", len(scrubber.spelled)),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=scrubbed_values(span.attributes),
        events=[
            Event(scrub_text(event.name), scrubbed_values(event.attributes), event.timestamp)
            for event in span.events
        ],
        links=[Link(link.context, scrubbed_values(link.attributes)) for link in span.links],
        kind=span.kind,
        status=status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def scrubbed_values(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: scrubbed_value(name, value) for name, value in (attributes or {}).items()}


def scrubbed_value(name: str, value: Any) -> Any:
    if name in CLEAN or type(value) in {int, bool, float}:
        return value
    if type(value) is str and len(value) <= LONGEST_REMEMBERED:
        return scrubbed_text(value, name, len(scrubber.spelled))
    return scrub(value, name)


@lru_cache(maxsize=2048)
def scrubbed_text(text: str, name: str, _secrets_learned: int) -> Any:
    """Scrub `text` once: most values are the same in many spans. Anew when the scrubber has learned more."""
    return scrub(text, name) if name else scrub_text(text)
