"""Admin pages of used limits, where finance sees why a user can't pay."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from accounts.models import User
from core.console import display
from core.console.history import HistoryAdmin, see_other
from core.money import format_amount
from kyc.admin.filters import PERSON, list_of, people_by_email
from kyc.limits import limits_of
from kyc.models import LimitKind, LimitUsage
from kyc.tiers import TIERS, next_tier, tier_of

NEARLY_PERCENT = 90
LONGEST_TERM = 100
NOTHING_FOUND = "No usage was found for this user id or start of an e-mail address."


@admin.register(LimitUsage)
class LimitUsageAdmin(HistoryAdmin):
    """Rows show only user ids; name and e-mail address are on the page of one row."""

    page_template = "kyc/console/limit_usage.html"
    list_display = ("who", "window", "used", "room")
    list_display_links = ("who",)
    list_filter = ("kind",)
    linked_lookups = (PERSON,)
    ordering = ("-id",)
    sortable_by = ()
    list_max_show_all = 0

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.find))
        return [path("find/", view, name="kyc_limitusage_find"), *super().get_urls()]

    def find(self, request: HttpRequest) -> HttpResponse:
        """Redirects to the list of results. URL and log do not contain the search term."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = request.POST.get("term", "").strip()[:LONGEST_TERM]
        found = list_of(found_people(term)) if term else ""
        if found is None:
            messages.info(request, NOTHING_FOUND)
        usage = reverse(self.url_name("changelist"))
        return see_other(f"{usage}?{found}" if found else usage)

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
            format_amount(usage.used_minor, usage.currency),
            format_amount(usage.cap_minor, usage.currency),
        )

    @admin.display(description="room")
    def room(self, usage: LimitUsage) -> SafeString:
        percent = percent_used(usage.used_minor, usage.cap_minor)
        if percent >= NEARLY_PERCENT:
            return display.badge("warning", "speed", f"{percent}% used")
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


def found_people(term: str) -> QuerySet[User]:
    """Selects users with usage by their id or the start of their e-mail address."""
    is_number = term.isascii() and term.isdecimal() and len(term) < 10
    people = User.objects.filter(pk=term) if is_number else people_by_email(term)
    return people.filter(Exists(LimitUsage.objects.filter(person_id=OuterRef("pk"))))


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
    """Returns the used percentage, rounded down, so that 100 means nothing is left; 100 for a limit of 0."""
    return used_minor * 100 // limit_minor if limit_minor else 100
