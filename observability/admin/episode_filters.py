"""Filters and search of the alert history. Each is a condition that an index, or a bounded scan, answers."""

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
GONE_WRONG = (Q(state__in=[Delivery.State.FAILED, Delivery.State.DEAD]),)


class UnknownSeverityFilter(admin.SimpleListFilter):
    title = "severity label"
    parameter_name = "severity_label"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("unknown", "unknown")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Episode]) -> QuerySet[Episode]:
        return queryset.filter(severity_is_unknown=True) if self.value() == "unknown" else queryset


class OwnerFilter(admin.SimpleListFilter):
    title = "who has it"
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("nobody", "firing, nobody has it"), ("me", "I have it"), ("somebody", "acknowledged")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Episode]) -> QuerySet[Episode]:
        match self.value():
            case "nobody":
                return queryset.filter(status=Episode.Status.FIRING, acknowledged_at=None)
            case "me":
                return queryset.filter(acknowledged_by_id=request.user.pk)
            case "somebody":
                return queryset.exclude(acknowledged_at=None)
        return queryset


class ToldFilter(admin.SimpleListFilter):
    title = "delivered"
    parameter_name = "told"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("waiting", "on its way"),
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
                return queryset.filter(with_delivery(*GONE_WRONG))
        return queryset


def with_delivery(*conditions: Q) -> Q:
    """Alerts with a delivery that meets one of `conditions`; each is spelled as its partial index is."""
    first, *others = (
        Delivery.objects.filter(condition, episode__isnull=False).order_by().values("episode_id")
        for condition in conditions
    )
    return Q(pk__in=first.union(*others) if others else first)


def search(queryset: QuerySet[Episode], term: str, *, in_period: bool) -> QuerySet[Episode]:
    """`label=value` among the newest alerts (or in the chosen period), a fingerprint, or a name's start.

    A label's name may be anything: `service.name=payments`, `"odd \\"name\\""="value"`.
    """
    equality = read_equality(term)
    if equality:
        name, value = equality
        queryset = queryset if in_period else newest(queryset)
        return queryset.filter(labels__contains={name: value})
    named = Q(alertname__startswith=term) | Q(alertname__startswith=term[:1].upper() + term[1:])
    return queryset.filter(Q(fingerprint=term) if FINGERPRINT.fullmatch(term) else named)


def newest(queryset: QuerySet[Episode]) -> QuerySet[Episode]:
    """The LABELS_SEARCHED newest alerts. An index on labels would make storing every alert slower."""
    times = Episode.objects.order_by("-starts_at", "-id").values_list("starts_at", flat=True)
    boundary = list(times[LABELS_SEARCHED : LABELS_SEARCHED + 1])
    return queryset.filter(starts_at__gte=boundary[0]) if boundary else queryset
