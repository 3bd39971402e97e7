"""Shows the deliveries with every attempt. A finished delivery can be sent again, with a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console import display
from core.console.history import HistoryAdmin, actor_of, posted_reason, see_other
from observability.admin.episode_filters import WAITING
from observability.alerts import badges, episodes
from observability.models import Attempt, Delivery
from observability.notifiers import registry
from observability.roles import RESEND_DELIVERY

MOST_SHOWN = 100


class NeedsAttentionFilter(admin.SimpleListFilter):
    title = "needs attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("failed", "failed or given up"), ("waiting", "not finished")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        match self.value():
            case "failed":
                return queryset.filter(state__in=[Delivery.State.FAILED, Delivery.State.DEAD])
            case "waiting":
                return queryset.filter(WAITING[0] | WAITING[1])
        return queryset


class ChannelFilter(admin.SimpleListFilter):
    title = "channel"
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(notifier.name, notifier.label) for notifier in registry.NOTIFIERS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        return queryset.filter(channel=self.value()) if self.value() else queryset


@admin.register(Delivery)
class DeliveryAdmin(HistoryAdmin):
    page_template = "observability/console/delivery.html"
    list_display = ("what", "state_and_severity", "why", "planned", "attempts")
    list_filter = (NeedsAttentionFilter, ChannelFilter, "state", "kind", "severity")
    list_select_related = ("episode",)
    ordering = ("-id",)
    list_max_show_all = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        rows: QuerySet[Delivery] = super().get_queryset(request)
        return rows.defer("episode__labels", "episode__annotations")

    @admin.display(description="what")
    def what(self, delivery: Delivery) -> SafeString:
        return format_html(
            '<span class="am-name">{}</span><span class="am-second am-summary">{}</span>',
            subject_of(delivery),
            f"{delivery.get_kind_display()} to {badges.channel_label(delivery.channel)}",
        )

    @admin.display(description="state", ordering="state")
    def state_and_severity(self, delivery: Delivery) -> SafeString:
        badge = badges.delivery_badge(delivery)
        return format_html(
            '<span class="am-stack">{}{}</span>',
            display.badge(badge.tone, badge.icon, badge.text),
            badges.severity_badge(delivery.severity),
        )

    @admin.display(description="why")
    def why(self, delivery: Delivery) -> SafeString:
        detail = display.short(badges.detail_of(delivery), 120) or "—"
        return format_html('<span class="am-second am-wrap">{}</span>', detail)

    @admin.display(description="planned", ordering="id")
    def planned(self, delivery: Delivery) -> SafeString:
        return display.time_tag(delivery.created_at, display.ago(delivery.created_at))

    @admin.display(description="attempts", ordering="attempt_count")
    def attempts(self, delivery: Delivery) -> int:
        return delivery.attempt_count

    def page_context(self, request: HttpRequest, row: Delivery) -> dict[str, Any]:
        return {
            "title": f"{subject_of(row)} to {badges.channel_label(row.channel)}",
            "attempts": list(
                Attempt.objects.filter(delivery__in=[row.pk, row.digest_id or row.pk]).order_by("at")
            ),
            "members": list(row.members.select_related("episode").order_by("id")[:MOST_SHOWN]),
            "resends": list(row.resends.order_by("id")[:MOST_SHOWN]),
            "may_resend": self.may(request, RESEND_DELIVERY) and row.state not in Delivery.UNFINISHED,
        }

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Delivery | None:
        if not object_id.isdecimal():
            return None
        rows = Delivery.objects.select_related("episode", "requested_by", "digest", "resend_of")
        return rows.filter(pk=object_id).first()

    def get_urls(self) -> list[URLPattern]:
        return [self.action_path("resend", RESEND_DELIVERY, self.resend), *super().get_urls()]

    def resend(self, request: HttpRequest, pk: int) -> HttpResponse:
        sent: list[Delivery] = []
        self.perform(
            request,
            "A new delivery was planned.",
            lambda: sent.append(
                episodes.resend(delivery_id=pk, actor=actor_of(request), reason=posted_reason(request))
            ),
        )
        return see_other(page_after_resend(sent[0] if sent else Delivery.objects.get(pk=pk)))


def subject_of(delivery: Delivery) -> str:
    """Returns the alert's name, or what a digest bundles."""
    if delivery.episode is not None:
        return display.short(delivery.episode.alertname)
    bundled = Delivery.Kind(delivery.digest_of).label if delivery.digest_of else "alert"
    return f"Digest {delivery.pk} ({delivery.severity}, {bundled})"


def page_after_resend(delivery: Delivery) -> str:
    """Returns the address of the alert's page, which lists the new delivery; for a digest, of the digest's
    page."""
    if delivery.episode_id:
        return reverse("admin:observability_episode_change", args=[delivery.episode_id]) + "#deliveries"
    return reverse("admin:observability_delivery_change", args=[delivery.pk])
