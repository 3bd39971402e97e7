"""Admin pages of what payment providers say against what Amani has booked; an approver closes one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from core.console import display
from core.console.history import CappedChangeList, HistoryAdmin, posted_reason, see_other
from escrow.admin.filters import ProviderFilter
from escrow.admin.terms import read_id
from escrow.badges import contradiction_badge, payment_provider
from escrow.models import Contradiction
from escrow.payments import contradictions
from escrow.roles import CLOSE_CONTRADICTION, SEE_PAYMENTS
from kyc.admin.operator import operator

OPEN = Q(closed_at__isnull=True)
STANDING = "standing"


class OpenFirst(CappedChangeList):
    """Lists those that are open first, the newest of them on top."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = self.rows_with_first(OPEN)


class StandingFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = STANDING

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "open"), ("closed", "closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Contradiction]) -> QuerySet[Contradiction]:
        if self.value() not in ("open", "closed"):
            return queryset
        return queryset.filter(OPEN) if self.value() == "open" else queryset.exclude(OPEN)


@admin.register(Contradiction)
class ContradictionAdmin(HistoryAdmin):
    page_template = "escrow/console/contradiction.html"
    list_display = ("noted", "standing", "what", "about", "owner")
    list_display_links = ("noted",)
    list_filter = (StandingFilter, "kind", ProviderFilter)
    ordering = ("-id",)
    sortable_by = ()
    list_max_show_all = 0

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CappedChangeList]:
        return OpenFirst

    def get_queryset(self, request: HttpRequest) -> QuerySet[Contradiction]:
        return Contradiction.objects.select_related("closed_by")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Contradiction | None:
        found = read_id(object_id)
        rows = self.get_queryset(request).select_related("payout", "collection")
        return None if found is None else rows.filter(pk=found).first()

    @admin.display(description="noted")
    def noted(self, row: Contradiction) -> SafeString:
        return format_html(
            '<span class="am-name">{}</span><span class="am-second">contradiction {}</span>',
            display.time_tag(row.at, display.ago(row.at)),
            row.pk,
        )

    @admin.display(description="state")
    def standing(self, row: Contradiction) -> SafeString:
        badge = contradiction_badge(row)
        return display.badge(badge.tone, badge.icon, badge.text)

    @admin.display(description="what")
    def what(self, row: Contradiction) -> SafeString:
        return format_html(
            '<span class="am-first am-wrap">{}</span><span class="am-second am-wrap">{} → {}</span>',
            capfirst(row.get_kind_display()),
            row.booked,
            row.said,
        )

    @admin.display(description="about")
    def about(self, row: Contradiction) -> SafeString:
        return format_html(
            '<span class="am-first">{}</span><span class="am-second">{}</span>',
            subject_of(row),
            payment_provider(row.provider),
        )

    @admin.display(description="closed by")
    def owner(self, row: Contradiction) -> SafeString:
        if row.closed_by is None or row.closed_at is None:
            return format_html('<span class="am-second">{}</span>', "—")
        return format_html(
            '<span class="am-first">{}</span><span class="am-second">{}</span>',
            row.closed_by.get_full_name() or row.closed_by.email,
            display.time_tag(row.closed_at, display.clock(row.closed_at)),
        )

    def page_context(self, request: HttpRequest, row: Contradiction) -> dict[str, Any]:
        return {
            "title": f"Contradiction {row.pk}",
            "badge": contradiction_badge(row),
            "provider": payment_provider(row.provider),
            "what": capfirst(row.get_kind_display()),
            "payment": row.payout or row.collection,
            "subject": subject_of(row),
            "may_see_payments": request.user.has_perms(SEE_PAYMENTS),
            "may_close": row.closed_at is None and self.may(request, CLOSE_CONTRADICTION),
        }

    def get_urls(self) -> list[URLPattern]:
        return [self.action_path("close", CLOSE_CONTRADICTION, self.close), *super().get_urls()]

    def close(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "Closed.",
            lambda: contradictions.close(
                contradiction_id=pk, actor=operator(request), reason=posted_reason(request)
            ),
        )
        return see_other(self.page_url(pk))


def subject_of(row: Contradiction) -> str:
    """Returns the payment that it is about, for example `payout 7`."""
    return f"payout {row.payout_id}" if row.payout_id else f"collection {row.collection_id}"
