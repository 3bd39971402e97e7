"""Filters of the case list, and what its search finds. Each is a condition that an index answers.

The search is posted: an e-mail address or a document's number must not stand in an address, which browsers,
proxies and logs keep. What it found is named by ids and by the number's keyed hash.
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
PERSON, NUMBER = "person__in", "number_hash__in"  # Django's own lookups, taken from the address
LOOKUPS = frozenset({"state", "flag", "document_type__exact", PERSON, NUMBER})
MINE, DOUBTED, EVERYTHING = "mine", "doubted", "all"
IN_THE_QUEUES_ORDER = (MINE, *WAITING)


class StateFilter(admin.SimpleListFilter):
    """Unless something else is chosen, the queue."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        special = [(DOUBTED, "approved, but doubted"), (EVERYTHING, "everything")]
        return [(MINE, "I have it"), *State.choices, *special]

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
    """Nothing was chosen and nothing searched."""
    return not request.GET.keys() & {StateFilter.parameter_name, PERSON, NUMBER}


def is_in_the_queues_order(request: HttpRequest) -> bool:
    return is_queue(request) or request.GET.get(StateFilter.parameter_name) in IN_THE_QUEUES_ORDER


def find(term: str) -> int | str | None:
    """A case's id, or the query string of a list; None when there is nothing to be found."""
    return found_case(term) or found_people(term) or found_numbers(term)


def found_case(term: str) -> int | None:
    """By its id, which has fewer digits than any document's number of digits alone, or its public id."""
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
    """Whose address begins like that; a letter or two find nobody."""
    if len(term) < SHORTEST_PREFIX or "\0" in term:
        return User.objects.none()
    return User.objects.filter(email__startswith=term.lower()).order_by("email")


def list_of(people: QuerySet[User]) -> str | None:
    """The query string of the list of what belongs to the first of these people."""
    ids = people.values_list("pk", flat=True)[:MOST_PEOPLE]
    return urlencode({PERSON: ",".join(map(str, ids))}, safe=",") if ids else None


def found_numbers(term: str) -> str | None:
    try:
        hashes = sorted(set(by_number(term).values_list("number_hash", flat=True)))
    except WrongNumber:
        return None
    return urlencode({NUMBER: ",".join(hashes)}, safe=",") if hashes else None
