"""A span for each publish and each run of a Celery task, in one trace with the request that queued it.

The names and attributes are those of opentelemetry-instrumentation-celery. It is not used, because it ends
the span of a publish by a signal that never comes when the publish fails (Redis is down): the span would
stay open and current. Here the span is a `with` around `apply_async`.
"""

from contextvars import Token
from typing import Any

from celery import Task
from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from observability import tracing

HEADERS = ("traceparent", "tracestate", "baggage")

tracer = trace.get_tracer(__name__)
running: dict[str, tuple[Span, Token[Any]]] = {}


class TracedTask(Task):  # type: ignore[type-arg]
    """The application's base class of tasks; publishing one is a span."""

    abstract = True

    def apply_async(self, *args: Any, **options: Any) -> Any:
        if not tracing.is_on():
            return super().apply_async(*args, **options)
        with tracer.start_as_current_span(
            f"apply_async/{self.name}",
            kind=SpanKind.PRODUCER,
            attributes={"celery.action": "apply_async", "celery.task_name": self.name},
        ) as span:
            result = super().apply_async(*args, **options)
            span.set_attribute("messaging.message.id", str(result.id))
            return result


def send_trace(headers: dict[str, Any]) -> None:
    """Add the current place to the headers of a task that is being published."""
    if tracing.is_on():
        propagate.inject(headers)


def begin(task_id: str, task: "Task[Any, Any]") -> None:
    """Begin the span of a run: in the trace of the publisher of `task`, or in a new one."""
    if not tracing.is_on():
        return
    carrier = {name: task.request.get(name) for name in HEADERS if task.request.get(name)}
    publisher = propagate.extract(carrier, context=context.Context())
    span = tracer.start_span(
        f"run/{task.name}",
        publisher,
        SpanKind.CONSUMER,
        attributes={"celery.action": "run", "celery.task_name": task.name, "messaging.message.id": task_id},
    )
    running[task_id] = span, context.attach(trace.set_span_in_context(span, publisher))


def fail(task_id: str, exception: BaseException | None) -> None:
    """Record what a run raised on its span."""
    if task_id in running and exception is not None:
        span = running[task_id][0]
        span.record_exception(exception)
        span.set_attribute("error.type", type(exception).__qualname__)
        span.set_status(StatusCode.ERROR)


def end(task_id: str, state: str | None) -> None:
    """End the span of a run, with Celery's `state`."""
    if task_id not in running:
        return
    span, token = running.pop(task_id)
    span.set_attribute("celery.state", state or "")
    span.end()
    context.detach(token)
