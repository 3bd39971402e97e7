"""Declares and records the gauges that the periodic snapshot sets; the other metrics are in metrics.py."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from escrow.metrics import CONTRADICTIONS, PAYMENT_PROVIDERS
from escrow.payments.states import PAYOUT_OPEN
from escrow.states import MILESTONE_ENDS, OPEN, MilestoneState
from observability.metrics import children, grid, snapshot_gauge

# Currencies of the shipped limits. Others are shown from the first snapshot that finds an entry in them.
CURRENCIES = ("NGN", "USD")
CUSTOMER_KINDS = ("escrow_held", "seller_payable", "buyer_refundable", "payout_in_transit")
CAUSES = ("imbalance", "drift", "negative")
# The states that end are left out: what has ended only grows, and the counters say how fast.
OPEN_STATES = {
    "escrow": [state.value for state in OPEN],
    "milestone": [state.value for state in MilestoneState if state not in MILESTONE_ENDS],
    "payout": [state.value for state in PAYOUT_OPEN],
}

imbalance = snapshot_gauge(
    "amani_ledger_imbalance_minor",
    "Sum of all entries of the ledger, in minor units; anything but 0 is an error.",
    "currency",
)
drift = snapshot_gauge(
    "amani_ledger_balance_drift_accounts", "Accounts whose balance disagrees with their entries.", "currency"
)
suspense = snapshot_gauge(
    "amani_ledger_suspense_minor", "Money received that belongs to no escrow yet, in minor units.", "currency"
)
funds_held = snapshot_gauge(
    "amani_escrow_funds_held_minor", "Money held for escrows, in minor units.", "currency"
)
liability = snapshot_gauge(
    "amani_escrow_liability_minor",
    "Money of customers: held, payable, refundable and in transit, in minor units.",
    "currency",
)
BY_CURRENCY = (imbalance, drift, suspense, funds_held, liability)
negative = children(
    snapshot_gauge("amani_ledger_negative_accounts", "Accounts of customers below zero.", "kind"),
    CUSTOMER_KINDS,
)
open_by_state = snapshot_gauge(
    "amani_escrow_open", "Escrows, milestones and payouts that have not ended, by state.", "object", "state"
)
oldest_by_state = snapshot_gauge(
    "amani_escrow_oldest_seconds",
    "Time since the oldest of them entered its state, in seconds; 0 when there is none.",
    "object",
    "state",
)
overdue = snapshot_gauge(
    "amani_escrow_auto_release_overdue", "Milestones whose automatic release is due and not done."
)
latest = snapshot_gauge(
    "amani_escrow_auto_release_late_seconds",
    "Time since the oldest of them was due, in seconds; 0 when there is none.",
)
stopped = children(
    snapshot_gauge(
        "amani_escrow_money_stopped", "1 while releases and payouts are stopped for this cause.", "cause"
    ),
    CAUSES,
)
contradictions_open = grid(
    snapshot_gauge(
        "amani_payment_contradictions_open",
        "What payment providers say against what Amani has booked, and no approver has closed.",
        "provider",
        "kind",
    ),
    PAYMENT_PROVIDERS,
    CONTRADICTIONS,
)
contradictions_oldest = grid(
    snapshot_gauge(
        "amani_payment_contradictions_oldest_seconds",
        "Time since the oldest of them was noted, in seconds; 0 when there is none.",
        "provider",
        "kind",
    ),
    PAYMENT_PROVIDERS,
    CONTRADICTIONS,
)
snapshot_timestamp = snapshot_gauge(
    "amani_escrow_snapshot_timestamp_seconds", "When escrow's gauges were taken, Unix time; 0 when never."
)
states = {
    (thing, state): (open_by_state.labels(thing, state), oldest_by_state.labels(thing, state))
    for thing, names in OPEN_STATES.items()
    for state in names
}
known_currencies: set[str] = set()


def show_currencies(currencies: Iterable[str]) -> None:
    """Exports the gauges of these currencies from now on, so that zero is shown as zero."""
    for currency in set(currencies) - known_currencies:
        known_currencies.add(currency)
        for gauge in BY_CURRENCY:
            gauge.labels(currency)


show_currencies(CURRENCIES)


def record_sums(sums: Mapping[tuple[str, str], int]) -> None:
    """Sets what follows from the sums of entries by (kind of account, currency), in minor units."""
    show_currencies(currency for _kind, currency in sums)
    for currency in known_currencies:
        of_kind = {kind: amount for (kind, code), amount in sums.items() if code == currency}
        imbalance.labels(currency).set(sum(of_kind.values()))
        suspense.labels(currency).set(of_kind.get("suspense", 0))
        funds_held.labels(currency).set(of_kind.get("escrow_held", 0))
        liability.labels(currency).set(sum(of_kind.get(kind, 0) for kind in CUSTOMER_KINDS))


def record_drift(accounts: Mapping[str, int]) -> None:
    """Sets how many accounts have drifted, by currency; 0 for a currency that is missing."""
    show_currencies(accounts)
    for currency in known_currencies:
        drift.labels(currency).set(accounts.get(currency, 0))


def record_negative(accounts: Mapping[str, int]) -> None:
    """Sets how many accounts are below zero, by their kind; 0 for a kind that is missing."""
    for kind, gauge in negative.items():
        gauge.set(accounts.get(kind, 0))


def record_state(thing: str, state: str, count: int, age_seconds: float) -> None:
    """Sets count and oldest age of one state. `thing`: escrow, milestone or payout."""
    counted, oldest = states[thing, state]
    counted.set(count)
    oldest.set(max(age_seconds, 0.0))


def record_auto_release(overdue_count: int, late_seconds: float) -> None:
    overdue.set(overdue_count)
    latest.set(max(late_seconds, 0.0))


def record_stops(causes: Iterable[str]) -> None:
    """Sets for which causes releases and payouts are stopped."""
    open_causes = set(causes)
    for cause, gauge in stopped.items():
        gauge.set(cause in open_causes)


def record_contradictions(found: Mapping[tuple[str, str], tuple[int, float]]) -> None:
    """Sets count and oldest age in seconds by (provider, kind); 0 for a pair that is missing."""
    for pair, counted in contradictions_open.items():
        count, age_seconds = found.get(pair, (0, 0.0))
        counted.set(count)
        contradictions_oldest[pair].set(max(age_seconds, 0.0))


def record_snapshot_taken() -> None:
    snapshot_timestamp.set(time.time())
