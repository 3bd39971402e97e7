"""The alert history: what fires first, then the newest. Who has it, was it delivered, and if not, why."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, Q, QuerySet, prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from core.console import display
from core.console.history import CappedChangeList, HistoryAdmin, actor_of, posted_reason, see_other
from core.console.paging import BoundedDates, in_period
from observability.admin.cause.page import samples_context
from observability.admin.episode_filters import OwnerFilter, ToldFilter, UnknownSeverityFilter, search
from observability.admin.episode_page import page_context
from observability.alerts import badges, episodes
from observability.models import Delivery, Episode

FIRING = Q(status=Episode.Status.FIRING)


class FiringFirst(CappedChangeList):
    """Unless the operator sorts by a column, firing alerts come first."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = self.result_list
        if "o" not in self.params and "status__exact" not in self.params:
            rows = self.rows_with_first(FIRING)
        self.result_list = list(rows)
        prefetch_related_objects(self.result_list, deliveries_in_order())
        # From here on only the date hierarchy asks it, for the first and the last: quick without the filters.
        self.queryset = in_period(BoundedDates(Episode), "starts_at", request.GET)


@admin.register(Episode)
class EpisodeAdmin(HistoryAdmin):
    page_template = "observability/console/episode.html"
    list_display = ("standing", "alert", "since", "owner", "told")
    list_display_links = ("alert",)
    list_filter = ("status", "severity", UnknownSeverityFilter, OwnerFilter, ToldFilter, "source")
    search_fields = ("alertname",)  # Django shows the box only when there are some; see get_search_results
    search_help_text = "Name, label=value or fingerprint"
    date_hierarchy = "starts_at"
    ordering = ("-starts_at", "-id")
    list_max_show_all = 0

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CappedChangeList]:
        return FiringFirst

    def get_queryset(self, request: HttpRequest) -> QuerySet[Episode]:
        rows = BoundedDates(Episode).select_related("acknowledged_by")
        return rows.defer("labels", "annotations", "generator_url")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Episode | None:
        if not object_id.isdecimal():
            return None
        return Episode.objects.select_related("acknowledged_by").filter(pk=object_id).first()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        in_period = any(name.startswith("starts_at__") for name in request.GET)
        return (search(queryset, term, in_period=in_period) if term else queryset), False

    @admin.display(description="state", ordering="status")
    def standing(self, episode: Episode) -> SafeString:
        status = display.mark(*badges.episode_mark(episode))
        unconfirmed = badges.NOT_CONFIRMED_MARK if badges.not_confirmed_since(episode) else ""
        doubt = badges.UNKNOWN_SEVERITY_MARK if episode.severity_is_unknown else ""
        return format_html(
            '<span class="am-stack">{}{}{}{}</span>',
            status,
            unconfirmed,
            badges.severity_mark(episode.severity),
            doubt,
        )

    @admin.display(description="alert", ordering="alertname")
    def alert(self, episode: Episode) -> SafeString:
        summary = "" if episode.summary == episode.alertname else display.short(episode.summary)
        name = display.short(episode.alertname)
        return format_html(
            '<span class="am-name">{}</span><span class="am-second am-summary">{}</span>', name, summary
        )

    @admin.display(description="since", ordering="starts_at")
    def since(self, episode: Episode) -> SafeString:
        began = display.time_tag(episode.starts_at, display.clock(episode.starts_at))
        if episode.status == Episode.Status.FIRING:
            first, second = (
                display.ago(episode.starts_at).removesuffix(" ago"),
                format_html("since {}", began),
            )
        elif ended := episode.ends_at or episode.resolved_at:
            first, second = began, format_html("for {}", display.duration(ended - episode.starts_at))
        else:
            first, second = began, format_html("{}", display.ago(episode.starts_at))
        return format_html('<span class="am-first">{}</span><span class="am-second">{}</span>', first, second)

    @admin.display(description="who has it", ordering="acknowledged_at")
    def owner(self, episode: Episode) -> SafeString:
        if episode.acknowledged_at and episode.acknowledged_by:
            return format_html(
                '<span class="am-first">{}</span><span class="am-second">{}</span>',
                episode.acknowledged_by.get_full_name(),
                display.time_tag(episode.acknowledged_at, display.ago(episode.acknowledged_at)),
            )
        if episode.status == Episode.Status.FIRING:
            return format_html('<span class="am-mark am-{}">{}</span>', "warning", "Nobody yet")
        return format_html('<span class="am-second">{}</span>', "—")

    @admin.display(description="delivered")
    def told(self, episode: Episode) -> SafeString:
        lines = [told_line(delivery) for delivery in worth_telling(told_so_far(episode))]
        if not lines:
            return badges.why_not_notified(episode)
        return format_html(
            '<span class="am-told">{}</span>', format_html_join("", "{}", ((line,) for line in lines))
        )

    def page_context(self, request: HttpRequest, row: Episode) -> dict[str, Any]:
        return {
            **page_context(row),
            "may_acknowledge": self.may(request, "acknowledge_episode"),
            "may_note": self.may(request, "note_episode"),
            "may_resend": self.may(request, "resend_delivery"),
        }

    def get_urls(self) -> list[URLPattern]:
        return [
            self.action_path("acknowledge", "acknowledge_episode", self.acknowledge),
            self.action_path("note", "note_episode", self.note),
            path(
                "<int:pk>/samples/",
                self.admin_site.admin_view(require_safe(self.samples)),
                name="observability_episode_samples",
            ),
            *super().get_urls(),
        ]

    def samples(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Sampled requests of the alert's time: part of its page, or a page of its own."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        episode = Episode.objects.filter(pk=pk).first()
        if episode is None:
            raise Http404(f"There is no alert {pk}.")
        context = {"row": episode, **samples_context(episode)}
        if request.headers.get("X-Requested-With") == "fetch":
            return TemplateResponse(request, "observability/console/samples.html", context)
        context |= {**self.admin_site.each_context(request), "opts": self.opts, "title": str(episode)}
        return TemplateResponse(request, "observability/console/samples_page.html", context)

    def acknowledge(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "You have it. Whoever was paged through PagerDuty is told there.",
            lambda: episodes.acknowledge(episode_id=pk, actor=actor_of(request), note=posted_reason(request)),
        )
        return see_other(self.page_url(pk))

    def note(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "The note is in the timeline.",
            lambda: episodes.add_note(episode_id=pk, actor=actor_of(request), text=posted_reason(request)),
        )
        return see_other(self.page_url(pk))


def deliveries_in_order() -> Prefetch[str]:
    return Prefetch("deliveries", queryset=Delivery.objects.order_by("id"), to_attr="told_so_far")


def told_so_far(episode: Episode) -> list[Delivery]:
    """Its deliveries in the order they were planned, as `deliveries_in_order` found them."""
    deliveries: list[Delivery] = getattr(episode, "told_so_far")  # noqa: B009  (set by Prefetch)
    return deliveries


def worth_telling(deliveries: list[Delivery]) -> list[Delivery]:
    """The newest word that the alert fires, for each channel, and everything else that is not through."""
    pages = {d.channel: d for d in deliveries if d.kind == Delivery.Kind.TRIGGER}
    quiet = {Delivery.State.DELIVERED, Delivery.State.SUPERSEDED, Delivery.State.OFF}
    others = {(d.channel, d.kind): d for d in deliveries if d.kind != Delivery.Kind.TRIGGER}
    return [*pages.values(), *(d for d in others.values() if d.state not in quiet)]


def told_line(delivery: Delivery) -> SafeString:
    standing = badges.standing_of(delivery)
    kind = "" if delivery.kind == Delivery.Kind.TRIGGER else f" ({delivery.get_kind_display()})"
    return format_html(
        '<span class="am-told-line">'
        '<span class="material-symbols-outlined am-ink-{}" aria-hidden="true">{}</span><span><b>{}{}</b> '
        '<span class="am-word am-ink-{}">{}</span> <span class="am-detail">{}</span></span></span>',
        standing.tone,
        standing.icon,
        badges.channel_label(delivery.channel),
        kind,
        standing.tone,
        standing.text.lower(),
        display.short(standing.detail, 90),
    )
