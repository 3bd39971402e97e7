"""Declares and records the metrics of mails (see observability/metrics.py)."""

from __future__ import annotations

import time

from observability.metrics import children, counter, snapshot_gauge

mails = children(
    counter(
        "amani_mails_total", "E-mails to people, by whether the mail server took them in the end.", "outcome"
    ),
    ("sent", "failed"),
)
attempts = children(
    counter("amani_mail_attempts_total", "Attempts to hand a mail over, by outcome.", "outcome"),
    ("sent", "retry", "refused", "unknown"),
)
waiting = snapshot_gauge("amani_mails_waiting", "Mails that are not sent yet.")
oldest = snapshot_gauge(
    "amani_mails_oldest_seconds", "Age of the oldest mail that waits, in seconds; 0 when none does."
)
snapshot_timestamp = snapshot_gauge(
    "amani_mails_snapshot_timestamp_seconds", "When the waiting mails were counted, Unix time; 0 when never."
)


def record_attempt(outcome: str) -> None:
    """Counts an attempt: sent, retry (temporary), refused (permanent) or unknown (the worker was killed)."""
    attempts[outcome].inc()


def record_end(outcome: str, count: int = 1) -> None:
    """Counts finished mails: sent, or failed (refused or given up). Call it after the commit."""
    mails[outcome].inc(count)


def record_waiting(count: int, oldest_seconds: float) -> None:
    waiting.set(count)
    oldest.set(max(oldest_seconds, 0.0))
    snapshot_timestamp.set(time.time())
