"""Sets escrow's gauges periodically from the database, and stops the money when the books are wrong.

A scrape needs no query, and a snapshot reads what is new, never the whole ledger (escrow/ledger/counting.py).
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, Min
from django.utils import timezone

from core.money import format_amount
from escrow import snapshot_metrics, stops
from escrow.escrows.auto_release import due
from escrow.ledger import counting, drift
from escrow.models import MoneyStop
from escrow.payments import contradictions
from escrow.snapshot_metrics import OPEN_STATES

Cause = MoneyStop.Cause

# Each state, also one that nothing is in, from its own part of an index: GROUP BY, which compares the state
# of each row with that of the row before, takes half as long again. The second condition implies that of the
# partial index.
OPEN_BY_STATE = " UNION ALL ".join(
    """
    SELECT 'THING', s.state, found.count, found.oldest
      FROM unnest(%(THING)s::text[]) AS s(state)
     CROSS JOIN LATERAL (
          SELECT count(*), min(t.state_since) AS oldest FROM escrow_THING t
           WHERE t.state = s.state AND t.state = ANY(%(THING)s)
          ) found
    """.replace("THING", thing)
    for thing in OPEN_STATES
)


class Books(NamedTuple):
    sums: counting.Sums
    changed: counting.Sums
    wrong: drift.Wrong


def take_snapshot() -> None:
    books = check_books()
    if books is None:  # another worker is at it, and will record what it finds
        return
    snapshot_metrics.record_sums(books.sums)
    snapshot_metrics.record_drift(drifted(books))
    snapshot_metrics.record_negative(books.wrong.negative)
    snapshot_metrics.record_stops(stops.open_causes())
    record_waiting(timezone.now())
    snapshot_metrics.record_snapshot_taken()


def record_waiting(now: datetime) -> None:
    """Counts what has not ended, by state, with the time since the oldest entered it; late releases; and
    contradictions that are open.
    """
    for thing, state, count, oldest in counting.asked(OPEN_BY_STATE, **OPEN_STATES):
        snapshot_metrics.record_state(thing, state, count, age(oldest, now))
    late = due(now).order_by().aggregate(count=Count("*"), oldest=Min("auto_release_at"))
    snapshot_metrics.record_auto_release(late["count"], age(late["oldest"], now))
    contradicted = contradictions.open_ones().items()
    snapshot_metrics.record_contradictions(
        {pair: (count, age(oldest, now)) for pair, (count, oldest) in contradicted}
    )


def age(since: datetime | None, now: datetime) -> float:
    return (now - since).total_seconds() if since else 0.0


def check_books() -> Books | None:
    """Counts and compares what is due, and opens a stop for what is wrong; None while another check runs."""
    horizon = counting.read_horizon()
    with transaction.atomic(durable=True):
        watch = counting.lock_watch()
        if watch is None:
            return None
        counted = counting.count(watch, horizon)
        wrong = drift.compare(watch, horizon, counted.recounted)
        books = Books(counted.sums, counted.changed, wrong)
        stops.open_for(causes(books))
        watch.taken_at = timezone.now()
        watch.save()
    return books


def causes(books: Books) -> dict[str, str]:
    """Returns why the money must not move, each with what was seen."""
    found = {
        Cause.IMBALANCE: ", ".join(format_amount(left, currency) for currency, left in imbalances(books)),
        Cause.DRIFT: ", ".join([*named(books.wrong.drifted, books.wrong.drifted_names), *changes(books)]),
        Cause.NEGATIVE: ", ".join(named(books.wrong.negative, books.wrong.negative_names)),
    }
    return {cause.value: detail for cause, detail in found.items() if detail}


def imbalances(books: Books) -> list[tuple[str, int]]:
    """Returns each currency whose entries do not add up to zero, with their sum in minor units."""
    by_currency: Counter[str] = Counter()
    for (_kind, currency), amount_minor in books.sums.items():
        by_currency[currency] += amount_minor
    return sorted((currency, left) for currency, left in by_currency.items() if left)


def named(accounts: Counter[str], names: list[str]) -> list[str]:
    return [f"{accounts.total()} accounts, among them {' '.join(names)}"] if accounts else []


def changes(books: Books) -> list[str]:
    return [
        f"entries of {kind} changed by {format_amount(by_minor, currency)} after they were counted"
        for (kind, currency), by_minor in sorted(books.changed.items())
    ]


def drifted(books: Books) -> Counter[str]:
    """Returns how many accounts have drifted, by currency; a kind with changed entries counts as one."""
    return books.wrong.drifted + Counter(currency for _kind, currency in books.changed)
