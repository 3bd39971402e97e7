"""Pages through lists of millions of rows without a full count and without a full scan.

A page is read from an index. Results are counted up to COUNT_AT_MOST; a larger number is shown as `10,000+`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Max, Min, Model, Q, QuerySet
from django.utils import timezone
from django.utils.functional import cached_property

COUNT_AT_MOST = 10_000
# A row may have any date: that of an alert comes from outside. The date hierarchy offers none beyond these.
OLDEST_OFFERED, NEWEST_OFFERED = timedelta(days=30 * 365), timedelta(days=365)


class AtLeast(int):
    """A number of results of which counting stopped; templates print it as `10,000+`."""

    def __str__(self) -> str:
        return f"{int(self):,}+"


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """Counts at most COUNT_AT_MOST rows, so only a filter reaches the last pages of a very long list."""

    @cached_property
    def count(self) -> int:
        found = capped_count(self.object_list)
        return AtLeast(COUNT_AT_MOST) if found > COUNT_AT_MOST else found


def capped_count(queryset: Any) -> int:
    """Returns the number of rows, counted up to COUNT_AT_MOST + 1."""
    found: int = queryset.order_by()[: COUNT_AT_MOST + 1].count()
    return found


def first_then_rest(queryset: QuerySet[Any], first: Q, start: int, stop: int) -> list[Model]:
    """Returns rows `start` to `stop` of `queryset`, ordered so that those that meet `first` come first.

    This takes two index scans instead of a sort of all rows. An index on the expression would do the same,
    but would slow down the INSERT of every alert.
    """
    rows = list(queryset.filter(first)[start:stop])
    if len(rows) == stop - start:
        return rows
    before = start + len(rows) if rows or start == 0 else capped_count(queryset.filter(first))
    return rows + list(queryset.exclude(first)[max(0, start - before) : stop - before])


class BoundedDates(QuerySet[Any]):
    """Offers the admin's date hierarchy every day between the first and the last row, found in the index.

    Django would compute DISTINCT date_trunc(…) over every row. In exchange, days without rows are offered
    too.
    """

    def datetimes(self, field_name: str, kind: str, *args: Any, **kwargs: Any) -> Any:
        bounds = self.aggregate(first=Min(field_name), last=Max(field_name))
        if bounds["first"] is None:
            return []
        now = timezone.localtime()
        first = max(timezone.localtime(bounds["first"]), now - OLDEST_OFFERED)
        return periods(first, min(timezone.localtime(bounds["last"]), now + NEWEST_OFFERED), kind)


def in_period(rows: QuerySet[Any], field_name: str, chosen: Mapping[str, str]) -> QuerySet[Any]:
    """Returns `rows` of the year, month or day chosen in the date hierarchy; Django has checked the
    numbers."""
    year, month, day = (chosen.get(f"{field_name}__{kind}") for kind in ("year", "month", "day"))
    if not year:
        return rows
    first = datetime(int(year), int(month or 1), int(day or 1), tzinfo=timezone.get_current_timezone())
    end = following(first, "day" if day else "month" if month else "year")
    return rows.filter(**{f"{field_name}__gte": first, f"{field_name}__lt": end})


def periods(first: datetime, last: datetime, kind: str) -> list[datetime]:
    """Returns the beginnings of the years, months or days (`kind`) from `first` to `last`."""
    moment = beginning(first, kind)
    found = []
    while moment <= last:
        found.append(moment)
        moment = following(moment, kind)
    return found


def beginning(moment: datetime, kind: str) -> datetime:
    """Returns the beginning of the year, month or day (`kind`) in which `moment` lies."""
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if kind == "day":
        return day
    return day.replace(day=1) if kind == "month" else day.replace(month=1, day=1)


def following(moment: datetime, kind: str) -> datetime:
    """Returns the beginning of the year, month or day (`kind`) after the one that begins at `moment`."""
    if kind == "year":
        return moment.replace(year=moment.year + 1)
    if kind == "month":
        return moment.replace(year=moment.year + moment.month // 12, month=moment.month % 12 + 1)
    return datetime.fromordinal(moment.toordinal() + 1).replace(tzinfo=moment.tzinfo)
