"""Shows the alert history, firing alerts first, with who acknowledged each alert and whether it was
delivered."""

from __future__ import annotations

from typing import Any

from django.conf import settings
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
from core.console.history import CappedChangeList, actor_of, posted_reason, see_other
from core.console.paging import BoundedDates, in_period
from observability.admin.cause.page import samples_context
from observability.admin.episode_filters import (
    NotifiedFilter,
    OwnerFilter,
    SilencedFilter,
    UnknownSeverityFilter,
    search,
)
from observability.admin.episode_page import page_context
from observability.admin.rule_of_alert import RuleOfAlert
from observability.alerts import badges, episodes
from observability.models import Delivery, Episode
from observability.roles import (
    ACKNOWLEDGE_EPISODE,
    MANAGE_SILENCE,
    MARK_EPISODE,
    NOTE_EPISODE,
    RESEND_DELIVERY,
    VIEW_ROUTE,
    VIEW_RULE,
)

FIRING = Q(status=Episode.Status.FIRING)


class FiringFirst(CappedChangeList):
    """Lists firing alerts first, unless the operator sorts by a column."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = self.result_list
        if "o" not in self.params and "status__exact" not in self.params:
            rows = self.rows_with_first(FIRING)
        self.result_list = list(rows)
        prefetch_related_objects(self.result_list, deliveries_in_order())
        # Only the date hierarchy uses it from here on, for the first and last row: fast without the filters.
        self.queryset = in_period(BoundedDates(Episode), "starts_at", request.GET)


@admin.register(Episode)
class EpisodeAdmin(RuleOfAlert):
    page_template = "observability/console/episode.html"
    list_display = ("state", "alert", "since", "owner", "notified")
    list_display_links = ("alert",)
    list_filter = (
        "status",
        "severity",
        UnknownSeverityFilter,
        OwnerFilter,
        NotifiedFilter,
        SilencedFilter,
        "source",
    )
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
    def state(self, episode: Episode) -> SafeString:
        status = display.badge(*badges.episode_badge(episode))
        unconfirmed = badges.NOT_CONFIRMED_BADGE if badges.not_confirmed_since(episode) else ""
        unknown_severity = badges.UNKNOWN_SEVERITY_BADGE if episode.severity_is_unknown else ""
        return format_html(
            '<span class="am-stack">{}{}{}{}{}</span>',
            status,
            badges.silenced_badge(episode),
            unconfirmed,
            badges.severity_badge(episode.severity),
            unknown_severity,
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

    @admin.display(description="acknowledged by", ordering="acknowledged_at")
    def owner(self, episode: Episode) -> SafeString:
        if episode.acknowledged_at and episode.acknowledged_by:
            return format_html(
                '<span class="am-first">{}</span><span class="am-second">{}</span>',
                episode.acknowledged_by.get_full_name(),
                display.time_tag(episode.acknowledged_at, display.ago(episode.acknowledged_at)),
            )
        if episode.status == Episode.Status.FIRING:
            return format_html('<span class="am-mark am-{}">{}</span>', "warning", "Not acknowledged")
        return format_html('<span class="am-second">{}</span>', "—")

    @admin.display(description="delivered")
    def notified(self, episode: Episode) -> SafeString:
        lines = [delivery_line(delivery) for delivery in deliveries_to_show(prefetched_deliveries(episode))]
        if not lines:
            return badges.why_not_notified(episode)
        return format_html(
            '<span class="am-notified">{}</span>', format_html_join("", "{}", ((line,) for line in lines))
        )

    def page_context(self, request: HttpRequest, row: Episode) -> dict[str, Any]:
        return {
            **page_context(row),
            "may_acknowledge": self.may(request, ACKNOWLEDGE_EPISODE),
            "may_note": self.may(request, NOTE_EPISODE),
            "may_mark": self.may(request, MARK_EPISODE),
            "may_see_rules": request.user.has_perm(VIEW_RULE),
            "may_see_routes": request.user.has_perm(VIEW_ROUTE),
            "may_resend": self.may(request, RESEND_DELIVERY),
            "may_silence": can_be_silenced(row) and self.may(request, MANAGE_SILENCE),
        }

    def get_urls(self) -> list[URLPattern]:
        return [
            self.action_path("acknowledge", ACKNOWLEDGE_EPISODE, self.acknowledge),
            self.action_path("note", NOTE_EPISODE, self.note),
            self.action_path("mark", MARK_EPISODE, self.mark),
            path(
                "<int:pk>/samples/",
                self.admin_site.admin_view(require_safe(self.samples)),
                name="observability_episode_samples",
            ),
            *super().get_urls(),
        ]

    def samples(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answers with the sampled requests of the alert's time: as a part of its page, or as a page."""
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
            "Acknowledged. Where it was paged through PagerDuty, it will be acknowledged there too.",
            lambda: episodes.acknowledge(episode_id=pk, actor=actor_of(request), note=posted_reason(request)),
        )
        return see_other(self.page_url(pk))

    def note(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "The note was added to the timeline.",
            lambda: episodes.add_note(episode_id=pk, actor=actor_of(request), text=posted_reason(request)),
        )
        return see_other(self.page_url(pk))

    def mark(self, request: HttpRequest, pk: int) -> HttpResponse:
        as_what = request.POST.get("mark", "")
        self.perform(
            request,
            f"Marked as {as_what}. Its rule is judged by these marks.",
            lambda: episodes.mark(episode_id=pk, actor=actor_of(request), as_what=as_what),
        )
        return see_other(self.page_url(pk))


def can_be_silenced(episode: Episode) -> bool:
    """Returns whether its page leads to a new silence: Alertmanager sent it, and Amani asks Alertmanager."""
    return bool(settings.ALERTMANAGER_URL) and episode.source == Episode.Source.ALERTMANAGER


def deliveries_in_order() -> Prefetch[str]:
    """Returns what reads the deliveries of many alerts in one query, for `prefetched_deliveries`."""
    return Prefetch("deliveries", queryset=Delivery.objects.order_by("id"), to_attr="prefetched_deliveries")


def prefetched_deliveries(episode: Episode) -> list[Delivery]:
    """Returns the alert's deliveries in the order they were planned, as `deliveries_in_order` read them."""
    deliveries: list[Delivery] = getattr(episode, "prefetched_deliveries")  # noqa: B009  (set by Prefetch)
    return deliveries


def deliveries_to_show(deliveries: list[Delivery]) -> list[Delivery]:
    """Returns, for each channel, the newest trigger and every other delivery that did not arrive."""
    triggers = {d.channel: d for d in deliveries if d.kind == Delivery.Kind.TRIGGER}
    quiet = {Delivery.State.DELIVERED, Delivery.State.SUPERSEDED, Delivery.State.OFF}
    others = {(d.channel, d.kind): d for d in deliveries if d.kind != Delivery.Kind.TRIGGER}
    return [*triggers.values(), *(d for d in others.values() if d.state not in quiet)]


def delivery_line(delivery: Delivery) -> SafeString:
    """Returns one line of HTML about a delivery: channel, kind, state and detail."""
    badge = badges.delivery_badge(delivery)
    kind = "" if delivery.kind == Delivery.Kind.TRIGGER else f" ({delivery.get_kind_display()})"
    return format_html(
        '<span class="am-notified-line">'
        '<span class="material-symbols-outlined am-ink-{}" aria-hidden="true">{}</span><span><b>{}{}</b> '
        '<span class="am-word am-ink-{}">{}</span> <span class="am-detail">{}</span></span></span>',
        badge.tone,
        badge.icon,
        badges.channel_label(delivery.channel),
        kind,
        badge.tone,
        badge.text.lower(),
        display.short(badge.detail, 90),
    )
