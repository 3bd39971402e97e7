"""Lists that read from their address what they offer, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

LATEST_YEAR = 9998  # Django computes the beginning of the next one
LARGEST_PART = {"year": LATEST_YEAR, "month": 12, "day": 31}


class StrictList:
    """Comes before `ModelAdmin` in the bases of an admin class.

    `linked_lookups`: conditions that the list's own links contain, beside those of its filters.
    """

    linked_lookups: ClassVar[tuple[str, ...]] = ()
    list_filter: ClassVar[Any]
    date_hierarchy: ClassVar[str | None]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Returns whether the list offers the condition. Django would allow any on a column of the table."""
        return lookup in {*self.linked_lookups, *self.lookups_of_filters()}

    def lookups_of_filters(self) -> Iterator[str]:
        for chosen in self.list_filter:
            if isinstance(chosen, str):
                yield from (chosen, f"{chosen}__exact", f"{chosen}__isnull", f"{chosen}__id__exact")
            else:
                yield chosen.parameter_name
        if self.date_hierarchy:
            yield from (f"{self.date_hierarchy}__{part}" for part in LARGEST_PART)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Answers with the list. A date that is none leads back to the whole list, as other odd values do.

        Raises BadRequest for NUL, which PostgreSQL refuses.
        """
        if any("\0" in value for _name, values in request.GET.lists() for value in values):
            raise BadRequest("The address must not contain a NUL character.")
        for part, largest in LARGEST_PART.items():
            values = request.GET.getlist(f"{self.date_hierarchy}__{part}")
            if not all(is_between_1_and(largest, value) for value in values):
                return HttpResponseRedirect(request.path)
        page: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]  # ModelAdmin's
        return page


def is_between_1_and(largest: int, text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= largest
