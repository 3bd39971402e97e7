"""Filters and searches the alert history. An index or a bounded scan answers each condition."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from observability.admin.matchers import read_equality
from observability.models import Delivery, Episode

FINGERPRINT = re.compile(r"[0-9a-f]{16,64}")
LABELS_SEARCHED = 100_000
WAITING = (  # together they are Delivery.UNFINISHED
    Q(state__in=[Delivery.State.PENDING, Delivery.State.SENDING]),
    Q(state=Delivery.State.DIGESTED, digest__isnull=False),
)
FAILED = (Q(state__in=[Delivery.State.FAILED, Delivery.State.DEAD]),)


class UnknownSeverityFilter(admin.SimpleListFilter):
    title = "severity label"
    parameter_name = "severity_label"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("unknown", "unknown")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Episode]) -> QuerySet[Episode]:
        return queryset.filter(severity_is_unknown=True) if self.value() == "unknown" else queryset


class SilencedFilter(admin.SimpleListFilter):
    title = "silenced"
    parameter_name = "silenced"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", "now"), ("once", "now or earlier")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Episode]) -> QuerySet[Episode]:
        match self.value():
            case "now":
                return queryset.filter(silenced_at__isnull=False, unsilenced_at__isnull=True)
            case "once":
                return queryset.filter(silenced_at__isnull=False)
        return queryset


class OwnerFilter(admin.SimpleListFilter):
    title = "acknowledged"
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("nobody", "firing, not acknowledged"),
            ("me", "acknowledged by me"),
            ("somebody", "acknowledged"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Episode]) -> QuerySet[Episode]:
        match self.value():
            case "nobody":
                return queryset.filter(status=Episode.Status.FIRING, acknowledged_at=None)
            case "me":
                return queryset.filter(acknowledged_by_id=request.user.pk)
            case "somebody":
                return queryset.exclude(acknowledged_at=None)
        return queryset


class NotifiedFilter(admin.SimpleListFilter):
    title = "delivered"
    parameter_name = "told"  # kept, so that bookmarks work

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("waiting", "not finished"),
            ("failed", "failed or given up"),
            ("nobody", "firing, not notified by Amani"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Episode]) -> QuerySet[Episode]:
        match self.value():
            case "nobody":
                return queryset.filter(status=Episode.Status.FIRING).exclude(not_notified="")
            case "waiting":
                return queryset.filter(with_delivery(*WAITING))
            case "failed":
                return queryset.filter(with_delivery(*FAILED))
        return queryset


def with_delivery(*conditions: Q) -> Q:
    """Returns the condition that an alert has a delivery that meets one of `conditions`.

    Each of `conditions` is written like the condition of a partial index, so that PostgreSQL uses that index.
    """
    first, *others = (
        Delivery.objects.filter(condition, episode__isnull=False).order_by().values("episode_id")
        for condition in conditions
    )
    return Q(pk__in=first.union(*others) if others else first)


def search(queryset: QuerySet[Episode], term: str, *, in_period: bool) -> QuerySet[Episode]:
    """Searches for `label=value`, for a fingerprint, or for names that begin with `term`.

    Labels are searched in the newest alerts only, or in the period chosen in the date hierarchy
    (`in_period`). A label's name may have any characters: `service.name=payments`, `"odd
    \\"name\\""="value"`.
    """
    equality = read_equality(term)
    if equality:
        name, value = equality
        queryset = queryset if in_period else newest(queryset)
        return queryset.filter(labels__contains={name: value})
    named = Q(alertname__startswith=term) | Q(alertname__startswith=term[:1].upper() + term[1:])
    return queryset.filter(Q(fingerprint=term) if FINGERPRINT.fullmatch(term) else named)


def newest(queryset: QuerySet[Episode]) -> QuerySet[Episode]:
    """Returns the LABELS_SEARCHED newest alerts. An index on labels would make storing every alert slower."""
    times = Episode.objects.order_by("-starts_at", "-id").values_list("starts_at", flat=True)
    boundary = list(times[LABELS_SEARCHED : LABELS_SEARCHED + 1])
    return queryset.filter(starts_at__gte=boundary[0]) if boundary else queryset
