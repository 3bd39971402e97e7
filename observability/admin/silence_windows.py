"""Shows recurring silences with their occurrences; creates and ends them."""

from __future__ import annotations

from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console import display
from core.console.history import actor_of, posted_reason, see_other
from observability.admin.new_silence import NewSilence
from observability.admin.silence_window_form import WEEKDAYS, WindowForm
from observability.models import SilenceWindow
from observability.roles import MANAGE_SILENCE
from observability.silences import windows
from observability.silences.matchers import from_api
from observability.silences.services import name_of

MOST_SHOWN = 10


@admin.register(SilenceWindow)
class SilenceWindowAdmin(NewSilence):
    page_template = "observability/console/silence_window.html"
    confirm_template = "observability/console/silence_window_confirm.html"
    form_class = WindowForm
    new_title = "New recurring silence"
    new_explained = (
        "Each time, a silence of its own is set in Alertmanager, a day ahead. The next page shows when and "
        "what it hides."
    )
    stored_message = "The recurring silence is stored. Each occurrence is set a day ahead."
    list_display = ("state", "what", "when", "why", "by")
    list_display_links = ("what",)
    ordering = ("-id",)
    list_max_show_all = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[SilenceWindow]:
        return SilenceWindow.objects.select_related("owner")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> SilenceWindow | None:
        if not object_id.isdecimal() or len(object_id) > 18:
            return None
        return self.get_queryset(request).select_related("ended_by").filter(pk=object_id).first()

    @admin.display(description="state")
    def state(self, window: SilenceWindow) -> SafeString:
        return display.badge(*badge_of(window))

    @admin.display(description="what")
    def what(self, window: SilenceWindow) -> SafeString:
        text = ", ".join(map(str, from_api(window.matchers)))
        return format_html('<span class="am-name">{}</span>', display.short(text))

    @admin.display(description="when")
    def when(self, window: SilenceWindow) -> SafeString:
        return format_html(
            '<span class="am-summary">{}</span><span class="am-second">until {}</span>',
            words_of(window),
            window.last_on,
        )

    @admin.display(description="reason")
    def why(self, window: SilenceWindow) -> SafeString:
        return format_html('<span class="am-summary">{}</span>', display.short(window.reason, 100))

    @admin.display(description="owner")
    def by(self, window: SilenceWindow) -> str:
        return name_of(window.owner)

    def page_context(self, request: HttpRequest, row: SilenceWindow) -> dict[str, Any]:
        is_over = row.ended_at is not None
        return {
            "badge": display.badge(*badge_of(row)),
            "matchers": from_api(row.matchers),
            "words": words_of(row),
            "upcoming": [] if is_over else next_of(row),
            "silences": list(row.silences.order_by("-occurrence_on")[:MOST_SHOWN]),
            "may_end": not is_over and self.may_manage(request),
        }

    def get_urls(self) -> list[URLPattern]:
        return [self.action_path("end", MANAGE_SILENCE, self.end), *super().get_urls()]

    def confirmation(self, form: WindowForm) -> dict[str, Any]:
        window = form.window()
        return {"words": words_of(window), "upcoming": next_of(window)}

    def end(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "It is ended. The worker expires what is set of it within seconds.",
            lambda: windows.end(window_id=pk, actor=actor_of(request), reason=posted_reason(request)),
        )
        return see_other(self.page_url(pk))


def words_of(window: SilenceWindow) -> str:
    """Returns when it recurs, for example `Mon, Fri 22:00 to 06:00 Africa/Lagos`."""
    days = sorted(window.weekdays)
    names = "every day" if len(days) == 7 else ", ".join(WEEKDAYS[day][:3] for day in days)
    return f"{names} {window.begins:%H:%M} to {window.ends:%H:%M} {window.time_zone}"


def next_of(window: SilenceWindow) -> list[tuple[windows.Occurrence, str]]:
    """Returns the next occurrences, each with its times on the clock of the window."""
    zone = ZoneInfo(window.time_zone)
    return [(each, on_clock(each, zone)) for each in islice(windows.upcoming(window), MOST_SHOWN)]


def on_clock(occurrence: windows.Occurrence, zone: ZoneInfo) -> str:
    """Returns the times as the clock of the zone shows them, for example `Mon 12 Oct 22:00 to Tue 06:00`."""
    begins, ends = occurrence.starts_at.astimezone(zone), occurrence.ends_at.astimezone(zone)
    return f"{begins:%a %d %b %H:%M} to {ends:%a %H:%M} ({ends:%Z})"


def badge_of(window: SilenceWindow) -> tuple[str, str, str]:
    if window.ended_at is not None:
        return "quiet", "stop_circle", "Ended"
    is_over = window.last_on < timezone.localdate() - windows.DAY
    return ("quiet", "check_circle", "Over") if is_over else ("info", "event_repeat", "Recurs")
