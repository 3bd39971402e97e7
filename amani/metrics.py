"""Declares and records the metrics of the API's limits, and declares those of apps to come."""

from observability.metrics import children, counter

SCOPES = ("user", "upload", "address")

throttled = children(
    counter("amani_throttled_total", "API requests refused because there were too many, by whose.", "scope"),
    SCOPES,
)
throttle_unavailable = counter(
    "amani_throttle_unavailable_total", "Requests that were not counted, because Redis did not answer."
)
# The app `escrow` will declare and record it; until then `/metrics` shows that there were none.
escrow_transactions_total = counter(
    "escrow_transactions_total", "Escrow transactions, by type and status.", "type", "status"
)


def record_throttled(scope: str) -> None:
    throttled[scope].inc()


def record_throttle_unavailable() -> None:
    throttle_unavailable.inc()
