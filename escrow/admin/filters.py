"""Filters of the lists of escrows and payments."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from escrow.admin.terms import read_id
from escrow.models import Escrow
from escrow.payments.registry import PROVIDERS
from escrow.states import OPEN, State

PARTY = "party"
MOST_PARTIES = 20


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(State.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Escrow]) -> QuerySet[Escrow]:
        return queryset.filter(state=self.value()) if self.value() in State.values else queryset


class FrozenFilter(admin.SimpleListFilter):
    title = "flag"
    parameter_name = "flag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("frozen", "frozen")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Escrow]) -> QuerySet[Escrow]:
        return queryset.filter(frozen_at__isnull=False) if self.value() == "frozen" else queryset


class PartyFilter(admin.SimpleListFilter):
    """Of a search: the escrows in which one of these users is a party. It offers no choice of its own."""

    title = "parties"
    parameter_name = PARTY

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        chosen = request.GET.get(PARTY, "")
        return [(chosen, f"of user {chosen}")] if chosen else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Escrow]) -> QuerySet[Escrow]:
        read = [read_id(part) for part in (self.value() or "").split(",")[:MOST_PARTIES]]
        ids = [party for party in read if party is not None]
        return queryset.filter(Q(buyer_id__in=ids) | Q(seller_id__in=ids)) if self.value() else queryset


class ProviderFilter(admin.SimpleListFilter):
    """Offers the providers that there are. Django's own filter would search the table for its values."""

    title = "provider"
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, provider.label) for name, provider in PROVIDERS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(provider=self.value()) if self.value() else queryset


def is_of_an_open_state(request: HttpRequest) -> bool:
    """Whether only escrows of one open state are shown: their index is in the order of creation."""
    return request.GET.get(StateFilter.parameter_name) in OPEN
