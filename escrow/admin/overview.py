"""The card of the start page about money: what is held, what is stuck, and whether the books are checked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import QuerySet, Value
from django.http import HttpRequest
from django.utils import timezone

from core.console import display
from core.money import format_amount
from escrow.escrows.auto_release import due
from escrow.escrows.fee_rules import shipped_in_force
from escrow.models import Contradiction, Escrow, LedgerCheckpoint, LedgerWatch, Milestone, Payout
from escrow.models.chart import AccountKind
from escrow.payments.states import PayoutState
from escrow.roles import SEE_ESCROWS, SEE_LEDGER, SEE_PAYMENTS
from escrow.states import MilestoneState

COUNT_AT_MOST = 1_000
STALE_AFTER = timedelta(minutes=3)  # as the rule EscrowSnapshotStale
ESCROWS = "admin:escrow_escrow_changelist"
FEES = "admin:escrow_feerule_changelist"
TRANSFERS = "admin:escrow_ledgertransfer_changelist"
CONTRADICTIONS = "admin:escrow_contradiction_changelist"
LATE_AFTER = timedelta(minutes=5)  # as AutoReleaseOverdue
UNKNOWN_AFTER = timedelta(minutes=15)  # as PayoutUnknown


class Sign(NamedTuple):
    """One line: its badge (`tone`, `icon`, `text`), an explanation, and the runbook if something is wrong.

    `url_name` and `query` are the page that its name leads to.
    """

    name: str
    tone: str
    icon: str
    text: str
    detail: str
    url_name: str = ""
    runbook: str = ""
    query: str = ""


class Waiting(NamedTuple):
    """How many rows wait ("1,000+" is the most), and since when the oldest does."""

    number: str = "0"
    oldest: datetime | None = None


def may_see(request: HttpRequest) -> bool:
    return request.user.has_perms(SEE_ESCROWS | SEE_LEDGER | SEE_PAYMENTS)


def overview() -> dict[str, Any]:
    """Returns the lines of the card. The amounts are those of the last check of the ledger."""
    now = timezone.now()
    taken_at = LedgerWatch.objects.values_list("taken_at", flat=True).first()
    sums = {(row.kind, row.currency): row.seen_minor for row in LedgerCheckpoint.objects.order_by("currency")}
    found = waiting(
        late=(due(now), "auto_release_at"),
        requested=(in_state(Milestone, MilestoneState.RELEASE_REQUESTED), "state_since"),
        unknown=(in_state(Payout, PayoutState.UNKNOWN), "state_since"),
        contradicted=(Contradiction.objects.filter(closed_at__isnull=True).order_by("id"), "at"),
        frozen=(Escrow.objects.filter(frozen_at__isnull=False).order_by("frozen_at"), "frozen_at"),
    )
    signs = [
        held(sums),
        checked(taken_at, now),
        releases(found["late"], now),
        requested(found["requested"]),
        payouts(found["unknown"], now),
    ]
    some = [*contradicted(found["contradicted"], now), *suspense(sums), *frozen(found["frozen"])]
    return {"escrow_signs": [*signs, *some, *example_fees(now)]}


def in_state(model: type[Milestone] | type[Payout], state: str) -> QuerySet[Any]:
    """Selects those in the state, the oldest first; their table has an index for it."""
    return model.objects.filter(state=state).order_by("state_since")


def waiting(**selected: tuple[QuerySet[Any], str]) -> dict[str, Waiting]:
    """Counts the rows of each, which come in an order, by the time in that column: all with one query."""
    parts = [rows.values_list(Value(name), since)[:COUNT_AT_MOST] for name, (rows, since) in selected.items()]
    times: dict[str, list[datetime]] = {name: [] for name in selected}
    for name, moment in parts[0].union(*parts[1:], all=True):
        times[name].append(moment)
    return {name: Waiting(at_least(len(found)), min(found, default=None)) for name, found in times.items()}


def at_least(count: int) -> str:
    return f"{count:,}{'+' if count == COUNT_AT_MOST else ''}"


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


def releases(late: Waiting, now: datetime) -> Sign:
    count, oldest = late
    if oldest is None or oldest > now - LATE_AFTER:
        return Sign("Automatic releases", "good", "check_circle", "In time", "")
    detail = f"the oldest was due {display.ago(oldest, now)}."
    return Sign("Automatic releases", "bad", "alarm", f"{count} late", detail, "", "AutoReleaseOverdue")


def requested(milestones: Waiting) -> Sign:
    """Says how many approved milestones wait, because their seller cannot receive the money now."""
    count, oldest = milestones
    if oldest is None:
        return Sign("Approved milestones", "good", "check_circle", "Released", "")
    detail = f"their sellers cannot receive the money now, the oldest since {display.ago(oldest)}."
    return Sign("Approved milestones", "warning", "pending", f"{count} wait", detail)


def payouts(unknown: Waiting, now: datetime) -> Sign:
    count, oldest = unknown
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


def contradicted(contradictions: Waiting, now: datetime) -> list[Sign]:
    """Says how many contradictions no approver has closed."""
    count, oldest = contradictions
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


def frozen(escrows: Waiting) -> list[Sign]:
    """Names the frozen ones, and leads to the list of them. What has ended is not frozen."""
    count, oldest = escrows
    if oldest is None:
        return []
    detail = f"the first since {display.ago(oldest)}."
    return [Sign("Frozen escrows", "warning", "ac_unit", count, detail, ESCROWS, query="?flag=frozen")]


def example_fees(now: datetime) -> list[Sign]:
    """Says in production that a fee is still one that Amani ships."""
    currencies = [] if settings.DEBUG else shipped_in_force(now)
    if not currencies:
        return []
    detail = "these figures are not yours."
    return [Sign("Fees", "warning", "percent", f"{', '.join(currencies)}: examples", detail, FEES)]
