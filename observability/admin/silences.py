"""Shows silences, those made outside of Amani included; creates, extends and expires them."""

from __future__ import annotations

import shlex
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console import display
from core.console.history import CappedChangeList, actor_of, posted_reason, see_other
from observability.admin.new_silence import NewSilence
from observability.admin.silence_form import EndForm, SilenceForm, choices
from observability.models import Episode, Heartbeat, Silence
from observability.roles import MANAGE_SILENCE
from observability.silences import services
from observability.silences.matchers import as_text, of_labels

MOST_EVENTS = 200
MOST_HIDDEN = 50
RUNNING = Q(state__in=Silence.UNFINISHED)
State = Silence.State
BADGES = {
    State.WANTED: ("waiting", "schedule", "Being set"),
    State.ACTIVE: ("info", "notifications_paused", "Active"),
    State.ENDING: ("waiting", "schedule", "Being expired"),
    State.EXPIRED: ("quiet", "check_circle", "Expired"),
    State.FAILED: ("bad", "error", "Could not be set"),
}
PLANNED = ("quiet", "event", "Planned")
EVENT_ICONS = {
    "created": ("info", "add_circle"),
    "seen": ("quiet", "visibility"),
    "set": ("good", "check_circle"),
    "extended": ("info", "update"),
    "changed": ("warning", "edit"),
    "lost": ("warning", "sync_problem"),
    "expire": ("info", "stop_circle"),
    "expired": ("quiet", "check_circle"),
    "failed": ("bad", "error"),
    "reminded": ("quiet", "alarm"),
}


class RunningFirst(CappedChangeList):
    """Lists those that have not ended first, unless the operator sorts by a column."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if "o" not in self.params and "state__exact" not in self.params:
            self.result_list = self.rows_with_first(RUNNING)


@admin.register(Silence)
class SilenceAdmin(NewSilence):
    page_template = "observability/console/silence.html"
    confirm_template = "observability/console/silence_confirm.html"
    form_class = SilenceForm
    new_title = "New silence"
    new_explained = (
        "Alertmanager sends no notification of what all the matchers match, and Amani keeps it in the "
        "history, marked. The next page shows what that would be."
    )
    stored_message = "The silence is stored. The worker sets it in Alertmanager within seconds."
    list_display = ("state_column", "what", "why", "by", "ends")
    list_display_links = ("what",)
    list_filter = ("state",)
    ordering = ("-id",)
    list_max_show_all = 0

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CappedChangeList]:
        return RunningFirst

    def get_queryset(self, request: HttpRequest) -> QuerySet[Silence]:
        return Silence.objects.select_related("owner")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Silence | None:
        if not object_id.isdecimal() or len(object_id) > 18:
            return None
        return self.get_queryset(request).select_related("episode", "window").filter(pk=object_id).first()

    def frame_of_list(self, request: HttpRequest) -> dict[str, Any]:
        """Adds when Alertmanager was last read."""
        seen = Heartbeat.objects.filter(pk=Heartbeat.SILENCES).values_list("last_seen_at", flat=True).first()
        return {**super().frame_of_list(request), "read_at": seen}

    @admin.display(description="state", ordering="state")
    def state_column(self, silence: Silence) -> SafeString:
        return display.badge(*badge_of(silence))

    @admin.display(description="what")
    def what(self, silence: Silence) -> SafeString:
        text = ", ".join(map(str, services.matchers_of(silence)))
        return format_html('<span class="am-name">{}</span>', display.short(text))

    @admin.display(description="reason")
    def why(self, silence: Silence) -> SafeString:
        return format_html('<span class="am-summary">{}</span>', display.short(silence.reason, 100))

    @admin.display(description="owner")
    def by(self, silence: Silence) -> SafeString:
        second = "made outside of Amani" if silence.is_foreign else ""
        return format_html(
            '<span class="am-first">{}</span><span class="am-second">{}</span>',
            display.short(silence.created_by, 60),
            second,
        )

    @admin.display(description="ends", ordering="ends_at")
    def ends(self, silence: Silence) -> SafeString:
        begins = (
            format_html('<span class="am-second">from {}</span>', display.clock(silence.starts_at))
            if silence.starts_at > timezone.now()
            else ""
        )
        ends = display.time_tag(silence.ends_at, display.ago(silence.ends_at))
        return format_html('<span class="am-first">{}</span>{}', ends, begins)

    def page_context(self, request: HttpRequest, row: Silence) -> dict[str, Any]:
        runs = row.state in (State.WANTED, State.ACTIVE) and row.ends_at > timezone.now()
        hidden = row.suppressions.all()
        events = row.events.select_related("actor").order_by("-id")[:MOST_EVENTS]
        return {
            "badge": display.badge(*badge_of(row)),
            "matchers": services.matchers_of(row),
            "lasts": row.ends_at - row.starts_at,
            "is_planned": row.starts_at > timezone.now(),
            "events": [(event, *EVENT_ICONS[event.kind]) for event in events],
            "hidden": list(hidden.select_related("episode").order_by("-id")[:MOST_HIDDEN]),
            "hidden_now": hidden.filter(ended_at=None).count(),
            "may_change": runs and not row.is_foreign and self.may_manage(request),
            "choices": choices(),
            "command": amtool_expire(row) if row.is_foreign and runs else "",
        }

    def get_urls(self) -> list[URLPattern]:
        return [
            self.action_path("extend", MANAGE_SILENCE, self.extend),
            self.action_path("expire", MANAGE_SILENCE, self.expire),
            *super().get_urls(),
        ]

    def first_form(self, request: HttpRequest) -> SilenceForm:
        return SilenceForm(initial=initial(request.GET.get("alert", "")))

    def confirmation(self, form: SilenceForm) -> dict[str, Any]:
        return {"ends_at": form.end_from(form.cleaned_data["starts_at"] or timezone.now())}

    def extend(self, request: HttpRequest, pk: int) -> HttpResponse:
        form = EndForm(request.POST)
        if not form.is_valid():
            messages.error(request, "Choose how long the silence is to last from now.")
            return see_other(self.page_url(pk))
        self.perform(
            request,
            "The new end is stored. The worker sets it in Alertmanager within seconds.",
            lambda: services.extend(
                silence_id=pk, actor=actor_of(request), ends_at=form.ends_at(), reason=posted_reason(request)
            ),
        )
        return see_other(self.page_url(pk))

    def expire(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "The silence is to be expired. The worker does it in Alertmanager within seconds.",
            lambda: services.expire(silence_id=pk, actor=actor_of(request), reason=posted_reason(request)),
        )
        return see_other(self.page_url(pk))


def initial(alert: str) -> dict[str, Any]:
    """Returns the form's first values: the labels of the alert with this id, if there is one."""
    if not alert.isdecimal() or len(alert) > 18:
        return {}
    episode = Episode.objects.filter(pk=alert, source=Episode.Source.ALERTMANAGER).first()
    if episode is None:
        return {}
    return {"matchers": as_text(of_labels(episode.labels)), "alert": episode.pk}


def badge_of(silence: Silence) -> tuple[str, str, str]:
    """Returns tone, icon and text for the state of a silence."""
    if silence.state == State.ACTIVE and silence.starts_at > timezone.now():
        return PLANNED
    return BADGES[State(silence.state)]


def amtool_expire(silence: Silence) -> str:
    address = shlex.quote(f"--alertmanager.url={settings.ALERTMANAGER_PUBLIC_URL}")
    return f"amtool {address} silence expire {shlex.quote(silence.alertmanager_id)}"
