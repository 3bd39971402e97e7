"""Filters and search of the case list. Each filter is supported by an index.

The search uses POST, because browsers, proxies and logs store URLs, which must not contain e-mail addresses
or document numbers. The URL of a result contains ids and the number's keyed hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.models import User
from kyc.cases.selectors import by_number
from kyc.errors import WrongNumber
from kyc.models import Case, State
from kyc.models.cases import WAITING

MOST_PEOPLE = 20
SHORTEST_PREFIX = 3
UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
PERSON, NUMBER = "person__in", "number_hash__in"  # Django's own lookups in the URL
MINE, DOUBTED, EVERYTHING = "mine", "doubted", "all"
IN_THE_QUEUES_ORDER = (MINE, *WAITING)


class StateFilter(admin.SimpleListFilter):
    """Filters by state; without a choice it shows the queue."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        special = [(DOUBTED, "approved, but doubted"), (EVERYTHING, "everything")]
        return [(MINE, "claimed by me"), *State.choices, *special]

    def choices(self, changelist: Any) -> Iterator[Any]:
        choices: Iterator[Any] = super().choices(changelist)
        yield {**next(choices), "display": "the queue"}
        yield from choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Case]) -> QuerySet[Case]:
        chosen = self.value()
        if chosen == MINE:
            return queryset.filter(state=State.IN_REVIEW, claimed_by_id=request.user.pk)
        if chosen == DOUBTED:
            return queryset.filter(doubted_at__isnull=False)
        if chosen in State.values:
            return queryset.filter(state=chosen)
        return queryset.filter(state__in=WAITING) if is_queue(request) else queryset


class FlagFilter(admin.SimpleListFilter):
    title = "flag"
    parameter_name = "flag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("duplicate", "number claimed twice"), ("none", "no flag")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(is_duplicate=self.value() == "duplicate") if self.value() else queryset


def is_queue(request: HttpRequest) -> bool:
    """Returns True if neither a state nor a search is in the URL."""
    return not request.GET.keys() & {StateFilter.parameter_name, PERSON, NUMBER}


def is_in_the_queues_order(request: HttpRequest) -> bool:
    return is_queue(request) or request.GET.get(StateFilter.parameter_name) in IN_THE_QUEUES_ORDER


def find(term: str) -> int | str | None:
    """Returns a case's id, or the query string of a list, or None if nothing was found."""
    return found_case(term) or found_people(term) or found_numbers(term)


def found_case(term: str) -> int | None:
    """Finds a case by public id or id. An id has fewer digits than any document number."""
    if UUID.fullmatch(term):
        wanted = Q(public_id=term)
    elif term.isascii() and term.isdecimal() and len(term) < 10:
        wanted = Q(pk=term)
    else:
        return None
    return Case.objects.filter(wanted).values_list("pk", flat=True).first()


def found_people(term: str) -> str | None:
    return list_of(people_by_email(term))


def people_by_email(term: str) -> QuerySet[User]:
    """Selects users whose e-mail address begins with `term`; none for fewer than SHORTEST_PREFIX letters."""
    if len(term) < SHORTEST_PREFIX or "\0" in term:
        return User.objects.none()
    return User.objects.filter(email__startswith=term.lower()).order_by("email")


def list_of(people: QuerySet[User]) -> str | None:
    """Returns the query string of the list for the first MOST_PEOPLE of these users, or None."""
    ids = people.values_list("pk", flat=True)[:MOST_PEOPLE]
    return urlencode({PERSON: ",".join(map(str, ids))}, safe=",") if ids else None


def found_numbers(term: str) -> str | None:
    try:
        hashes = sorted(set(by_number(term).values_list("number_hash", flat=True)))
    except WrongNumber:
        return None
    return urlencode({NUMBER: ",".join(hashes)}, safe=",") if hashes else None
