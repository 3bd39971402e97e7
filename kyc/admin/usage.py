"""How much of their limits people have used: for finance, who asks why somebody can't pay."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from kyc.limits import limits_of
from kyc.limits.money import shown
from kyc.models import LimitKind, LimitUsage
from kyc.tiers import TIERS, next_tier, tier_of
from observability import words
from observability.console.history import HistoryAdmin

NEARLY_PERCENT = 90


@admin.register(LimitUsage)
class LimitUsageAdmin(HistoryAdmin):
    """Rows name people by their ids: who they are is on the page of one."""

    page_template = "kyc/console/limit_usage.html"
    list_display = ("who", "window", "used", "room")
    list_display_links = ("who",)
    list_filter = ("kind",)
    search_fields = ("=person__id",)
    search_help_text = "Number of a person"
    ordering = ("-id",)
    sortable_by = ()
    list_max_show_all = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[LimitUsage]:
        return LimitUsage.objects.all()

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> LimitUsage | None:
        if not object_id.isdecimal():
            return None
        return LimitUsage.objects.select_related("person").filter(pk=object_id).first()

    @admin.display(description="person")
    def who(self, usage: LimitUsage) -> SafeString:
        return format_html('<span class="am-name">Person {}</span>', usage.person_id)

    @admin.display(description="limit for")
    def window(self, usage: LimitUsage) -> SafeString:
        return format_html(
            '<span class="am-first">{}</span><span class="am-second">{}</span>',
            usage.get_kind_display(),
            window_in_words(usage),
        )

    @admin.display(description="used")
    def used(self, usage: LimitUsage) -> SafeString:
        return format_html(
            '<span class="am-first">{}</span><span class="am-second">of {}</span>',
            shown(usage.used_minor, usage.currency),
            shown(usage.cap_minor, usage.currency),
        )

    @admin.display(description="room")
    def room(self, usage: LimitUsage) -> SafeString:
        percent = percent_used(usage.used_minor, usage.cap_minor)
        if percent >= NEARLY_PERCENT:
            return words.mark("warning", "speed", f"{percent}% used")
        return format_html('<span class="am-second">{}% used</span>', percent)

    def page_context(self, request: HttpRequest, row: LimitUsage) -> dict[str, Any]:
        tier = tier_of(person_id=row.person_id)
        limits = [
            (limit, limit.kind.label, percent_used(limit.used_minor, limit.limit_minor))
            for limit in limits_of(person_id=row.person_id)
        ]
        return {
            "title": f"Person {row.person_id}",
            "tier": TIERS[tier],
            "next_tier": next_tier(tier),
            "limits": limits,
            "nearly": NEARLY_PERCENT,
        }


def window_in_words(usage: LimitUsage) -> str:
    start = usage.window_start
    match usage.kind:
        case LimitKind.DAILY:
            return f"{start.day} {start:%b %Y}"
        case LimitKind.MONTHLY:
            return f"{start:%B %Y}"
        case _:
            return "now"


def percent_used(used_minor: int, limit_minor: int) -> int:
    """Rounded down, so that 100 means nothing is left; a limit of nothing is used up."""
    return used_minor * 100 // limit_minor if limit_minor else 100
