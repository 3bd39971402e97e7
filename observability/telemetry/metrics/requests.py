"""The metrics of HTTP requests, and the functions that find their children.

Labels are closed sets, so that no visitor can add series: `endpoint` is a route template or "unmatched",
`method` one of HTTP's or "OTHER".
"""

from prometheus_client import Counter, Histogram

from observability.telemetry.metrics.declare import counter, histogram, live_gauge
from observability.telemetry.metrics.storage import store

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
MAXIMUM_ERROR_TYPES = 100
# Most answers take between 1 and 10 ms, where prometheus_client's own buckets are few.
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

http_requests_total = counter(
    "http_requests_total",
    "HTTP requests answered, by method, route template and status.",
    "method",
    "endpoint",
    "status",
)
http_request_duration_seconds = histogram(
    "http_request_duration_seconds",
    "Time from a request's arrival to the end of its answer, streamed bodies included, in seconds.",
    "method",
    "endpoint",
    buckets=REQUEST_BUCKETS,
)
http_requests_in_progress = live_gauge("http_requests_in_progress", "HTTP requests being answered now.")
in_progress = store.value("http_requests_in_progress")  # its `inc` makes no checks, and counts down as well
errors_total = counter(
    "errors_total", "Unhandled exceptions, by class and route template.", "error_type", "endpoint"
)

requests_by_label: dict[tuple[str | None, str | None, int], Counter] = {}
durations_by_label: dict[tuple[str | None, str | None], Histogram] = {}
error_types: set[str] = set()


def endpoint_label(route: str | None) -> str:
    return "unmatched" if route is None else "/" + route.removeprefix("^")


def request_counter(method: str | None, route: str | None, status: int) -> Counter:
    """The child for an answer, on its first use; `requests_by_label` has it from then on.

    Odd methods share one child and get no entry in the dictionary, which would grow with them.
    """
    if method not in METHODS:
        return http_requests_total.labels("OTHER", endpoint_label(route), str(status))
    child = http_requests_total.labels(method, endpoint_label(route), str(status))
    requests_by_label[method, route, status] = child
    return child


def request_histogram(method: str | None, route: str | None) -> Histogram:
    """As `request_counter`, for `durations_by_label`."""
    if method not in METHODS:
        return http_request_duration_seconds.labels("OTHER", endpoint_label(route))
    child = http_request_duration_seconds.labels(method, endpoint_label(route))
    durations_by_label[method, route] = child
    return child


def record_error(exception: BaseException, route: str | None, exemplar: dict[str, str] | None = None) -> None:
    name = type(exception).__name__
    if name not in error_types and len(error_types) >= MAXIMUM_ERROR_TYPES:
        name = "other"  # a library that makes classes at run time must not make series
    error_types.add(name)
    errors_total.labels(name, endpoint_label(route)).inc(1, exemplar)
