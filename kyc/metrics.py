"""Declares and records every metric of KYC (see observability/metrics.py).

Counters of changed rows are incremented after the commit. docs/metrics.md describes each metric.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from kyc.providers import registry
from kyc.providers.manual import Manual
from observability.metrics import children, counter, grid, histogram, snapshot_gauge

PROVIDERS = tuple(registry.PROVIDERS)
WAITING_STATES = ("submitted", "in_review")
DECISIONS = ("approved", "rejected", "asked_for_more", "revoked", "upheld", "expired")
TIERS = ("0", "1", "2", "3")
LIMIT_KINDS = ("single", "daily", "monthly", "balance")
REQUEST_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# --- Cases ---

kyc_submissions = children(
    counter("kyc_submissions_total", "Identity checks submitted, by resulting status.", "status"),
    ("submitted", "resubmitted", "refused", "busy"),
)
decisions = grid(
    counter(
        "amani_kyc_decisions_total",
        "Decisions on cases, by whose they were: a provider's, or people's and the clock's (manual).",
        "decision",
        "provider",
    ),
    DECISIONS,
    PROVIDERS,
)


def record_submission(status: str) -> None:
    """Counts a submission. `status`: submitted (first time), resubmitted, refused, or busy (503)."""
    kyc_submissions[status].inc()


def record_decision(decision: str, provider: str = "") -> None:
    decisions[decision, provider or Manual.name].inc()


# --- The periodic snapshot ---

queue = children(snapshot_gauge("amani_kyc_queue", "Cases that wait, by state.", "state"), WAITING_STATES)
oldest = children(
    snapshot_gauge(
        "amani_kyc_oldest_seconds",
        "Time since the oldest waiting case entered the queue, in seconds; 0 when there is none.",
        "state",
    ),
    WAITING_STATES,
)
checks_oldest = children(
    snapshot_gauge(
        "amani_kyc_checks_oldest_seconds",
        "Age of the oldest check without a result, in seconds; 0 when there is none.",
        "provider",
    ),
    PROVIDERS,
)
doubted = snapshot_gauge(
    "amani_kyc_doubted_approvals", "Approvals that a provider contradicts, until people revoke or uphold."
)
review_target = snapshot_gauge(
    "amani_kyc_review_target_seconds",
    "Within what time a case should be decided (KYC_REVIEW_TARGET_HOURS), in seconds.",
)
snapshot_timestamp = snapshot_gauge(
    "amani_kyc_snapshot_timestamp_seconds", "When KYC's gauges were taken, Unix time; 0 when never."
)


def record_queue(state: str, count: int, oldest_seconds: float) -> None:
    queue[state].set(count)
    oldest[state].set(max(oldest_seconds, 0.0))


def record_checks_oldest(ages: Mapping[str, float]) -> None:
    """Sets the ages in seconds by provider; 0 for a provider that is missing in `ages`."""
    for provider, gauge in checks_oldest.items():
        gauge.set(max(ages.get(provider, 0.0), 0.0))


def record_doubted(count: int) -> None:
    doubted.set(count)


def record_review_target(seconds: float) -> None:
    """Exports the setting in seconds, because an alert rule compares the oldest case with it."""
    review_target.set(seconds)


def record_snapshot_taken() -> None:
    snapshot_timestamp.set(time.time())


# --- Providers ---

OPERATIONS = ("submit", "fetch")
provider_requests = counter(
    "amani_kyc_provider_requests_total",
    "Requests to a provider, by outcome.",
    "provider",
    "operation",
    "outcome",
)
provider_requests_by_labels = {
    (provider, operation, outcome): provider_requests.labels(provider, operation, outcome)
    for provider in PROVIDERS[1:]
    for operation in OPERATIONS
    for outcome in ("ok", "retry", "rejected")
}
provider_request_durations = grid(
    histogram(
        "amani_kyc_provider_request_duration_seconds",
        "Time of one request to a provider, in seconds.",
        "provider",
        "operation",
        buckets=REQUEST_BUCKETS,
    ),
    PROVIDERS[1:],
    OPERATIONS,
)
provider_events = grid(
    counter("amani_kyc_provider_events_total", "Callbacks of a provider, by result.", "provider", "result"),
    PROVIDERS[1:],
    ("stored", "duplicate", "bad_signature", "malformed", "done", "ignored", "failed"),
)


def record_provider_request(provider: str, operation: str, outcome: str, duration_seconds: float) -> None:
    """Counts a request. `operation`: submit or fetch; `outcome`: ok, retry or rejected (permanent)."""
    provider_requests_by_labels[provider, operation, outcome].inc()
    provider_request_durations[provider, operation].observe(duration_seconds)


def record_provider_event(provider: str, result: str) -> None:
    """Counts a callback: stored, duplicate, bad_signature or malformed; later done, ignored or failed."""
    provider_events[provider, result].inc()


# --- Documents ---

files_refused = children(
    counter("amani_kyc_files_refused_total", "Uploaded images that were refused, by reason.", "reason"),
    ("too_large", "wrong_type", "unreadable", "empty", "bomb", "active_content"),
)
document_views = counter("amani_kyc_document_views_total", "Images shown to operators.")
document_failures = children(
    counter("amani_kyc_document_failures_total", "Images that could not be shown, by reason.", "reason"),
    ("cannot_decrypt", "file_damaged", "storage_unavailable"),
)


def record_file_refused(reason: str) -> None:
    files_refused[reason].inc()


def record_document_view() -> None:
    document_views.inc()


def record_document_failure(reason: str) -> None:
    """Counts an image that could not be shown. `reason`: the error's code."""
    document_failures[reason].inc()


# --- Limits ---

limits_denied = grid(
    counter("amani_limit_denied_total", "Uses of money that a limit refused.", "tier", "kind"),
    TIERS,
    LIMIT_KINDS,
)


def record_limit_denied(tier: int, kind: str) -> None:
    limits_denied[str(tier), kind].inc()
