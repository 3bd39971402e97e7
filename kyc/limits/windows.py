"""Which kinds of limits count up over time, and since when: days and months of UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime

from kyc.models import LimitKind

# No window: a balance goes up and down for ever.
ALWAYS = date(1970, 1, 1)
# Usage rows are locked in this order, by everybody. A single payment is compared and leaves no row.
COUNTED = (LimitKind.BALANCE, LimitKind.DAILY, LimitKind.MONTHLY)


def window_start(kind: LimitKind, at: datetime) -> date:
    day = at.astimezone(UTC).date()
    match kind:
        case LimitKind.DAILY:
            return day
        case LimitKind.MONTHLY:
            return day.replace(day=1)
        case _:
            return ALWAYS
