"""Django's Redis cache with a span for each operation inside a sampled request or task.

opentelemetry-instrumentation-redis would also trace the broker, which is most of what a worker's client does.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.cache.backends.redis import RedisCache
from opentelemetry import trace
from opentelemetry.trace import SpanKind

tracer = trace.get_tracer(__name__)

OPERATIONS = (
    *("get", "get_many", "has_key"),
    *("add", "set", "set_many", "touch", "incr"),
    *("delete", "delete_many"),
)


def traced(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
    """Return `operation` with a span around it when the current span is sampled."""
    attributes = {"db.system.name": "redis", "db.operation.name": name}

    @wraps(operation)
    def in_span(*args: Any, **options: Any) -> Any:
        if not trace.get_current_span().is_recording():
            return operation(*args, **options)
        with tracer.start_as_current_span(f"cache {name}", kind=SpanKind.CLIENT, attributes=attributes):
            return operation(*args, **options)

    return in_span


class TracedRedisCache(RedisCache):
    """Django's Redis cache with spans. They do not show keys, which may hold addresses and ids."""


for operation_name in OPERATIONS:
    setattr(TracedRedisCache, operation_name, traced(operation_name, getattr(RedisCache, operation_name)))
