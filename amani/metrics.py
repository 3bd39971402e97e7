"""Declares and records the metrics of the API's limits."""

from observability.metrics import children, counter

SCOPES = ("user", "upload", "address")

throttled = children(
    counter("amani_throttled_total", "API requests refused because there were too many, by whose.", "scope"),
    SCOPES,
)
throttle_unavailable = counter(
    "amani_throttle_unavailable_total", "Requests that were not counted, because Redis did not answer."
)


def record_throttled(scope: str) -> None:
    throttled[scope].inc()


def record_throttle_unavailable() -> None:
    throttle_unavailable.inc()
