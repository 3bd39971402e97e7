"""Admin pages of mails: kind, recipient's domain, state and error. Content and address are never shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import Mail
from core.console import display
from core.console.history import HistoryAdmin

State = Mail.State
MARKS = {
    State.WAITING: ("waiting", "hourglass_top", "To be sent"),
    State.SENT: ("good", "check", "Sent"),
    State.REFUSED: ("bad", "block", "Refused"),
    State.GIVEN_UP: ("bad", "error", "Given up"),
}
HIDDEN = ("content", "address_hash")


@admin.register(Mail)
class MailAdmin(HistoryAdmin):
    page_template = "accounts/mail.html"
    list_display = ("stored", "state_badge", "error", "kind", "domain", "attempts")
    list_display_links = ("stored",)
    list_filter = ("state", "kind")
    ordering = ("-id",)
    list_max_show_all = 0
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mail]:
        rows: QuerySet[Mail] = super().get_queryset(request)
        return rows.defer(*HIDDEN)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Mail | None:
        if not object_id.isdecimal():
            return None
        return Mail.objects.defer(*HIDDEN).filter(pk=object_id).first()

    @admin.display(description="stored")
    def stored(self, mail: Mail) -> SafeString:
        return format_html(
            '<span class="am-name">{}</span><span class="am-second">{}</span>',
            display.time_tag(mail.created_at, display.ago(mail.created_at)),
            f"mail {mail.pk}",
        )

    @admin.display(description="state")
    def state_badge(self, mail: Mail) -> SafeString:
        return display.badge(*MARKS[State(mail.state)])

    @admin.display(description="error")
    def error(self, mail: Mail) -> SafeString:
        return format_html(
            '<span class="am-second am-wrap">{}</span>', display.short(mail.last_error, 160) or "—"
        )

    @admin.display(description="attempts")
    def attempts(self, mail: Mail) -> int:
        return mail.attempt_count

    def page_context(self, request: HttpRequest, row: Mail) -> dict[str, Any]:
        return {"mark": display.badge(*MARKS[State(row.state)])}
