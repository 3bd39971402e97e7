"""Sets KYC's gauges periodically from the database, so that a scrape needs no query."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count, Min
from django.utils import timezone

from kyc import metrics
from kyc.badges import target
from kyc.cases.selectors import doubted, waiting
from kyc.models import Check
from kyc.models.cases import WAITING


def take_snapshot() -> None:
    now = timezone.now()
    for state, (count, oldest) in queue().items():
        metrics.record_queue(state, count, age(oldest, now))
    metrics.record_checks_oldest({provider: age(oldest, now) for provider, oldest in running_checks()})
    metrics.record_doubted(doubted().count())
    metrics.record_review_target(target().total_seconds())
    metrics.record_snapshot_taken()


def age(since: datetime | None, now: datetime) -> float:
    return (now - since).total_seconds() if since else 0.0


def queue() -> dict[str, tuple[int, datetime | None]]:
    """Returns state → (number of cases, when the oldest entered the queue); an index-only query."""
    known: dict[str, tuple[int, datetime | None]] = dict.fromkeys(WAITING, (0, None))
    rows = waiting().order_by().values_list("state").annotate(count=Count("pk"), oldest=Min("submitted_at"))
    return known | {state: (count, oldest) for state, count, oldest in rows}


def running_checks() -> list[tuple[str, datetime]]:
    """Returns (provider, creation time) of each provider's oldest check without a result."""
    running = Check.objects.filter(state__in=[Check.State.PENDING, Check.State.SENT]).order_by()
    return list(running.values_list("provider").annotate(oldest=Min("created_at")))
