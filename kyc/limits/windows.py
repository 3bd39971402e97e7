"""Computes the windows in which limits count usage: days and months of UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime

from kyc.models import LimitKind

# A balance has no window.
ALWAYS = date(1970, 1, 1)
# All code locks usage rows in this order. A single payment is only compared and has no row.
COUNTED = (LimitKind.BALANCE, LimitKind.DAILY, LimitKind.MONTHLY)


def window_start(kind: LimitKind, at: datetime) -> date:
    """Returns the first day (UTC) of the window that contains `at`; ALWAYS for kinds without a window."""
    day = at.astimezone(UTC).date()
    match kind:
        case LimitKind.DAILY:
            return day
        case LimitKind.MONTHLY:
            return day.replace(day=1)
        case _:
            return ALWAYS
