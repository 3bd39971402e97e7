"""Declares and records every metric of escrow (see observability/metrics.py).

Counters of changed rows are incremented after the commit. docs/metrics.md describes each metric.
"""

from __future__ import annotations

from django.db import transaction

from escrow.payments import registry
from observability.metrics import children, counter, grid, histogram

# --- What happened to the money of escrows ---

STATUSES = {
    "funding": ("completed", "partial", "excess", "reversed"),
    "release": ("completed",),
    "refund": ("completed",),
    "cancel": ("completed", "expired"),
    "payout": ("requested", "sent", "settled", "failed", "returned", "unknown"),
}
LATENESS_BUCKETS = (1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900, 3600)

escrow_transactions = counter(
    "escrow_transactions_total", "Transactions of escrows, by type and status.", "type", "status"
)
transactions = {
    (kind, status): escrow_transactions.labels(kind, status)
    for kind, statuses in STATUSES.items()
    for status in statuses
}
auto_release_lateness = histogram(
    "amani_escrow_auto_release_lateness_seconds",
    "Time from when a release was due to when it was posted, in seconds.",
    buckets=LATENESS_BUCKETS,
)


def count_after_commit(kind: str, status: str) -> None:
    """Counts a transaction (see STATUSES) when the caller's database transaction commits, and only then."""
    transaction.on_commit(transactions[kind, status].inc)


def record_auto_release(late_seconds: float) -> None:
    auto_release_lateness.observe(max(late_seconds, 0.0))


# --- Payments ---

PAYMENT_PROVIDERS = tuple(registry.PROVIDERS)
PAYMENT_OPERATIONS = ("collect", "ask_collection", "pay", "ask_payout")
PAYMENT_OUTCOMES = ("ok", "retry", "rejected", "unknown", "not_found")
PAYMENT_REQUEST_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
COLLECTION_RESULTS = ("started", "open", "received", "unpaid", "reversed")
PAYOUT_RESULTS = ("requested", "sent", "settled", "failed", "returned", "unknown")
CONTRADICTIONS = (
    "other_amount",
    "other_currency",
    "other_reference",
    "after_the_end",
    "not_known_there",
    "taken_back",
)

payment_requests = counter(
    "amani_payment_provider_requests_total",
    "Requests to a payment provider, by outcome.",
    "provider",
    "operation",
    "outcome",
)
payment_requests_by_labels = {
    (provider, operation, outcome): payment_requests.labels(provider, operation, outcome)
    for provider in PAYMENT_PROVIDERS
    for operation in PAYMENT_OPERATIONS
    for outcome in PAYMENT_OUTCOMES
}
payment_request_durations = grid(
    histogram(
        "amani_payment_provider_request_duration_seconds",
        "Time of one request to a payment provider, in seconds.",
        "provider",
        "operation",
        buckets=PAYMENT_REQUEST_BUCKETS,
    ),
    PAYMENT_PROVIDERS,
    PAYMENT_OPERATIONS,
)
payment_events = grid(
    counter("amani_payment_events_total", "Webhooks of a payment provider, by result.", "provider", "result"),
    PAYMENT_PROVIDERS,
    ("stored", "duplicate", "bad_signature", "malformed", "unmatched", "done", "failed"),
)
payment_unknown_statuses = children(
    counter(
        "amani_payment_unknown_statuses_total",
        "Answers of a payment provider with a status that its documentation does not name.",
        "provider",
    ),
    PAYMENT_PROVIDERS,
)
payment_contradictions = grid(
    counter(
        "amani_payment_contradictions_total",
        "What a payment provider says against what Amani knows, or has paid; a person decides.",
        "provider",
        "kind",
    ),
    PAYMENT_PROVIDERS,
    CONTRADICTIONS,
)
collections = grid(
    counter("amani_collections_total", "Payments of buyers, by the state entered.", "provider", "state"),
    PAYMENT_PROVIDERS,
    COLLECTION_RESULTS,
)
payouts = grid(
    counter("amani_payouts_total", "Payouts, by the state entered.", "provider", "state"),
    PAYMENT_PROVIDERS,
    PAYOUT_RESULTS,
)


def record_payment_request(provider: str, operation: str, outcome: str, duration_seconds: float) -> None:
    """Counts a request. `operation` and `outcome`: of PAYMENT_OPERATIONS and PAYMENT_OUTCOMES."""
    payment_requests_by_labels[provider, operation, outcome].inc()
    payment_request_durations[provider, operation].observe(duration_seconds)


def record_payment_event(provider: str, result: str) -> None:
    """Counts a webhook: stored, duplicate, bad_signature, malformed or unmatched; later done or failed."""
    payment_events[provider, result].inc()


def record_unknown_status(provider: str) -> None:
    payment_unknown_statuses[provider].inc()


def record_contradiction(provider: str, kind: str) -> None:
    """Counts a contradiction. `kind`: of CONTRADICTIONS."""
    payment_contradictions[provider, kind].inc()


def record_collection(provider: str, state: str) -> None:
    collections[provider, state].inc()


def record_payout(provider: str, state: str) -> None:
    payouts[provider, state].inc()


# --- The API ---

KEY_OUTCOMES = ("first", "repeated", "refused")
idempotency_keys = children(
    counter(
        "amani_api_idempotency_keys_total",
        "Requests with an Idempotency-Key that were done, answered again, or refused for their key.",
        "outcome",
    ),
    KEY_OUTCOMES,
)


def record_idempotency_key(outcome: str) -> None:
    """Counts a request. `outcome`: first (it was done), repeated (the first answer again), or refused."""
    idempotency_keys[outcome].inc()
