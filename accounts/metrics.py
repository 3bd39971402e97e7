"""Declares and records the metrics of sign-up and sign-in (see observability/metrics.py)."""

from __future__ import annotations

from observability.metrics import children, counter

LOGIN_OUTCOMES = ("success", "wrong_password", "unknown_account", "inactive", "mfa_failed", "locked_out")

user_registrations = counter("user_registrations_total", "Accounts that people registered.")
logins = children(
    counter("amani_logins_total", "Sign-ins and attempts that failed, by outcome.", "outcome"), LOGIN_OUTCOMES
)


def record_registration() -> None:
    """Counts a registration; to be called after the commit of the account's row."""
    user_registrations.inc()


def record_login(outcome: str) -> None:
    logins[outcome].inc()
