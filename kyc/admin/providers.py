"""Admin pages of providers' callbacks and their outcome; a callback can be processed again.

The bodies contain names, numbers and faces, so they are not shown. The provider's results are on the case's
page.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console import display
from core.console.history import HistoryAdmin, posted_reason, see_other
from kyc.admin.operator import operator
from kyc.badges import provider_name
from kyc.models import ProviderEvent
from kyc.providers import events
from kyc.roles import REPROCESS_CALLBACK, VIEW_CASE

State = ProviderEvent.State
MARKS = {
    State.PENDING: ("waiting", "hourglass_top", "To be processed"),
    State.DONE: ("good", "check", "Done"),
    State.IGNORED: ("quiet", "do_not_disturb_on", "Nothing new"),
    State.REFUSED: ("warning", "gpp_bad", "Refused"),
    State.FAILED: ("bad", "error", "Given up"),
}


@admin.register(ProviderEvent)
class ProviderEventAdmin(HistoryAdmin):
    page_template = "kyc/console/provider_event.html"
    list_display = ("received", "standing", "why", "of_provider", "about")
    list_display_links = ("received",)
    list_filter = ("state", "provider")
    ordering = ("-id",)
    list_max_show_all = 0
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProviderEvent]:
        rows: QuerySet[ProviderEvent] = super().get_queryset(request)
        return rows.defer("body").select_related("check_row")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> ProviderEvent | None:
        if not object_id.isdecimal():
            return None
        rows = ProviderEvent.objects.defer("body").select_related("check_row", "asked_again_by")
        return rows.filter(pk=object_id).first()

    @admin.display(description="received")
    def received(self, event: ProviderEvent) -> SafeString:
        return format_html(
            '<span class="am-name">{}</span><span class="am-second">{}</span>',
            display.time_tag(event.received_at, display.ago(event.received_at)),
            f"callback {event.pk}",
        )

    @admin.display(description="outcome")
    def standing(self, event: ProviderEvent) -> SafeString:
        return display.badge(*MARKS[State(event.state)])

    @admin.display(description="why")
    def why(self, event: ProviderEvent) -> SafeString:
        return format_html(
            '<span class="am-second am-wrap">{}</span>', display.short(event.reason, 160) or "—"
        )

    @admin.display(description="provider")
    def of_provider(self, event: ProviderEvent) -> str:
        return provider_name(event.provider)

    @admin.display(description="about")
    def about(self, event: ProviderEvent) -> str:
        return f"case {event.check_row.case_id}" if event.check_row else "—"

    def page_context(self, request: HttpRequest, row: ProviderEvent) -> dict[str, Any]:
        is_about_a_check = row.signature_ok and row.check_row_id is not None
        return {
            "title": str(row),
            "mark": display.badge(*MARKS[State(row.state)]),
            "provider": provider_name(row.provider),
            "may_process": is_about_a_check and self.may(request, REPROCESS_CALLBACK),
            "may_see_case": request.user.has_perm(VIEW_CASE),
        }

    def get_urls(self) -> list[URLPattern]:
        return [self.action_path("again", REPROCESS_CALLBACK, self.reprocess), *super().get_urls()]

    def reprocess(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "The provider will be asked again.",
            lambda: events.reprocess(event_id=pk, actor=operator(request), reason=posted_reason(request)),
        )
        return see_other(self.page_url(pk))
