"""Admin pages of stops of the money; an approver clears one, with a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from core.console import display
from core.console.display import Badge
from core.console.history import HistoryAdmin, posted_reason, see_other
from escrow import stops
from escrow.admin.terms import read_id
from escrow.models import MoneyStop
from escrow.roles import CLEAR_STOP, VIEW_STOP
from kyc.admin.operator import operator

OPEN = Badge("bad", "front_hand", "Money is stopped")
CLEARED = Badge("quiet", "check", "Cleared")


@admin.register(MoneyStop)
class MoneyStopAdmin(HistoryAdmin):
    page_template = "escrow/console/stop.html"
    list_display = ("opened", "standing", "why", "owner")
    list_display_links = ("opened",)
    list_filter = ("cause",)
    ordering = ("-id",)
    sortable_by = ()
    list_max_show_all = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[MoneyStop]:
        return MoneyStop.objects.select_related("cleared_by")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> MoneyStop | None:
        found = read_id(object_id)
        return None if found is None else self.get_queryset(request).filter(pk=found).first()

    @admin.display(description="opened")
    def opened(self, stop: MoneyStop) -> SafeString:
        return format_html(
            '<span class="am-name">{}</span><span class="am-second">stop {}</span>',
            display.time_tag(stop.opened_at, display.ago(stop.opened_at)),
            stop.pk,
        )

    @admin.display(description="state")
    def standing(self, stop: MoneyStop) -> SafeString:
        badge = badge_of(stop)
        return display.badge(badge.tone, badge.icon, badge.text)

    @admin.display(description="why")
    def why(self, stop: MoneyStop) -> SafeString:
        return format_html(
            '<span class="am-first am-wrap">{}</span><span class="am-second am-wrap">{}</span>',
            capfirst(stop.get_cause_display()),
            display.short(stop.detail),
        )

    @admin.display(description="cleared by")
    def owner(self, stop: MoneyStop) -> SafeString:
        if stop.cleared_by is None or stop.cleared_at is None:
            return format_html('<span class="am-second">{}</span>', "—")
        return format_html(
            '<span class="am-first">{}</span><span class="am-second">{}</span>',
            stop.cleared_by.get_full_name() or stop.cleared_by.email,
            display.time_tag(stop.cleared_at, display.clock(stop.cleared_at)),
        )

    def page_context(self, request: HttpRequest, row: MoneyStop) -> dict[str, Any]:
        return {
            "title": f"Stop {row.pk}",
            "badge": badge_of(row),
            "cause": capfirst(row.get_cause_display()),
            "may_clear": row.cleared_at is None and self.may(request, CLEAR_STOP),
        }

    def get_urls(self) -> list[URLPattern]:
        return [self.action_path("clear", CLEAR_STOP, self.clear), *super().get_urls()]

    def clear(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "Cleared. Releases and payouts go on unless another stop is open.",
            lambda: stops.clear(stop_id=pk, actor=operator(request), reason=posted_reason(request)),
        )
        return see_other(self.page_url(pk))


def badge_of(stop: MoneyStop) -> Badge:
    return OPEN if stop.cleared_at is None else CLEARED


def open_causes(request: HttpRequest) -> list[str]:
    """Returns why money is stopped, in words, for operators who may see it; no words while it is not."""
    if not request.user.has_perm(VIEW_STOP):
        return []
    return [str(MoneyStop.Cause(cause).label) for cause in stops.open_causes()]
