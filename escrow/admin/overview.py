"""The card of the start page about money: what is held, what is stuck, and whether the books are checked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Min, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from core.console import display
from core.money import format_amount
from escrow.escrows.auto_release import due
from escrow.models import Contradiction, Escrow, LedgerCheckpoint, LedgerWatch, Milestone, Payout
from escrow.models.chart import AccountKind
from escrow.payments.states import PayoutState
from escrow.roles import SEE_ESCROWS, SEE_LEDGER, SEE_PAYMENTS
from escrow.states import ENDS, MilestoneState

COUNT_AT_MOST = 1_000
STALE_AFTER = timedelta(minutes=3)  # as the rule EscrowSnapshotStale
TRANSFERS = "admin:escrow_ledgertransfer_changelist"
CONTRADICTIONS = "admin:escrow_contradiction_changelist"
LATE_AFTER = timedelta(minutes=5)  # as AutoReleaseOverdue
UNKNOWN_AFTER = timedelta(minutes=15)  # as PayoutUnknown


class Sign(NamedTuple):
    """One line: its badge (`tone`, `icon`, `text`), an explanation, and the runbook if something is wrong."""

    name: str
    tone: str
    icon: str
    text: str
    detail: str
    url_name: str = ""
    runbook: str = ""


def may_see(request: HttpRequest) -> bool:
    return request.user.has_perms(SEE_ESCROWS | SEE_LEDGER | SEE_PAYMENTS)


def overview() -> dict[str, Any]:
    """Returns the lines of the card. The amounts are those of the last check of the ledger."""
    now = timezone.now()
    taken_at = LedgerWatch.objects.values_list("taken_at", flat=True).first()
    sums = {(row.kind, row.currency): row.seen_minor for row in LedgerCheckpoint.objects.order_by("currency")}
    signs = [held(sums), checked(taken_at, now), releases(now), requested(), payouts(now)]
    return {"escrow_signs": [*signs, *contradicted(now), *suspense(sums), *frozen()]}


def amounts(sums: dict[tuple[str, str], int], kind: AccountKind) -> list[str]:
    return [format_amount(minor, currency) for (of, currency), minor in sums.items() if of == kind and minor]


def held(sums: dict[tuple[str, str], int]) -> Sign:
    found = amounts(sums, AccountKind.ESCROW_HELD)
    rest = f"and {', '.join(found[1:])}" if found[1:] else "held for escrows"
    return Sign("Funds held", "info", "savings", found[0] if found else "none", rest, TRANSFERS)


def checked(taken_at: datetime | None, now: datetime) -> Sign:
    if taken_at is None or taken_at < now - STALE_AFTER:
        when = display.ago(taken_at, now) if taken_at else "never"
        text = "These amounts are out of date, and nothing stops the money if the books are wrong."
        return Sign("Books", "bad", "error", f"Checked {when}", text, "", "EscrowSnapshotStale")
    return Sign("Books", "good", "check_circle", "Checked", display.ago(taken_at, now))


def releases(now: datetime) -> Sign:
    count, oldest = counted(due(now).order_by("auto_release_at"), "auto_release_at")
    if oldest is None or oldest > now - LATE_AFTER:
        return Sign("Automatic releases", "good", "check_circle", "In time", "")
    detail = f"the oldest was due {display.ago(oldest, now)}."
    return Sign("Automatic releases", "bad", "alarm", f"{count} late", detail, "", "AutoReleaseOverdue")


def requested() -> Sign:
    """Says how many approved milestones wait, because their seller cannot receive the money now."""
    count, oldest = counted(
        Milestone.objects.filter(state=MilestoneState.RELEASE_REQUESTED).order_by("state_since"),
        "state_since",
    )
    if oldest is None:
        return Sign("Approved milestones", "good", "check_circle", "Released", "")
    detail = f"their sellers cannot receive the money now, the oldest since {display.ago(oldest)}."
    return Sign("Approved milestones", "warning", "pending", f"{count} wait", detail)


def payouts(now: datetime) -> Sign:
    unknown = Payout.objects.filter(state=PayoutState.UNKNOWN).order_by("state_since")
    count, oldest = counted(unknown, "state_since")
    if oldest is None:
        return Sign("Payouts", "good", "check_circle", "None unknown", "")
    is_late = oldest < now - UNKNOWN_AFTER
    detail = f"the oldest since {display.ago(oldest, now)}; never pay one by hand."
    return Sign(
        "Payouts",
        "bad" if is_late else "waiting",
        "help",
        f"{count} unknown",
        detail,
        "",
        "PayoutUnknown" if is_late else "",
    )


def contradicted(now: datetime) -> list[Sign]:
    """Says how many contradictions no approver has closed."""
    rows = Contradiction.objects.filter(closed_at__isnull=True).order_by("id")
    count, oldest = counted(rows, "at")
    if oldest is None:
        return []
    detail = f"a provider says otherwise, the oldest since {display.ago(oldest, now)}."
    return [
        Sign(
            "Contradictions", "bad", "warning", f"{count} open", detail, CONTRADICTIONS, "PaymentContradicted"
        )
    ]


def suspense(sums: dict[tuple[str, str], int]) -> list[Sign]:
    found = amounts(sums, AccountKind.SUSPENSE)
    if not found:
        return []
    detail = "received, and of no escrow."
    return [Sign("Suspense", "warning", "help_center", ", ".join(found), detail, "", "SuspenseNotCleared")]


def frozen() -> list[Sign]:
    rows = Escrow.objects.filter(frozen_at__isnull=False).exclude(state__in=ENDS).order_by("frozen_at")
    count, oldest = counted(rows, "frozen_at")
    if oldest is None:
        return []
    return [Sign("Frozen escrows", "warning", "ac_unit", count, f"the first since {display.ago(oldest)}.")]


def counted(rows: QuerySet[Any], since: str) -> tuple[str, datetime | None]:
    """Returns how many there are ("1,000+" is the most), and the oldest time; one query."""
    found = rows.values(since)[:COUNT_AT_MOST].aggregate(count=Count("*"), oldest=Min(since))
    more = "+" if found["count"] == COUNT_AT_MOST else ""
    return f"{found['count']:,}{more}", found["oldest"]
