"""Shows the channels: whether each is on, whether it is flagged, and when its next message may be sent."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.console import display
from core.console.history import HistoryAdmin
from observability.alerts import badges
from observability.models import Channel, Delivery
from observability.notifiers import registry

MOST_SHOWN = 20


@admin.register(Channel)
class ChannelAdmin(HistoryAdmin):
    page_template = "observability/console/channel.html"
    list_display = ("label", "state", "why", "next_slot")

    @admin.display(description="channel", ordering="name")
    def label(self, channel: Channel) -> SafeString:
        return format_html('<span class="am-name">{}</span>', badges.channel_label(channel.name))

    @admin.display(description="state")
    def state(self, channel: Channel) -> SafeString:
        return display.badge(*channel_badge(channel.name, channel))

    @admin.display(description="why")
    def why(self, channel: Channel) -> SafeString:
        return format_html('<span class="am-second am-wrap">{}</span>', channel.flag_reason or "—")

    @admin.display(description="next message", ordering="next_slot_at")
    def next_slot(self, channel: Channel) -> str | SafeString:
        if channel.next_slot_at <= timezone.now():
            return "now"
        return display.time_tag(channel.next_slot_at, display.ago(channel.next_slot_at))

    def page_context(self, request: HttpRequest, row: Channel) -> dict[str, Any]:
        deliveries = Delivery.objects.filter(channel=row.name).select_related("episode").order_by("-id")
        failed = deliveries.filter(state__in=[Delivery.State.FAILED, Delivery.State.DEAD])
        return {
            "title": badges.channel_label(row.name),
            "badge": display.badge(*channel_badge(row.name, row)),
            "next_slot": self.next_slot(row),
            "failed": list(failed[:MOST_SHOWN]),
        }


def channel_badge(name: str, channel: Channel | None) -> tuple[str, str, str]:
    """Returns tone, icon and text for the state of a channel.

    One that never sent a message has no row yet.
    """
    notifier = registry.NOTIFIERS.get(name)
    if notifier is None or not notifier.is_configured():
        return ("quiet", "notifications_off", "Off")
    if channel is not None and channel.flagged_at is not None:
        return ("bad", "error", "Rejects messages")
    return ("good", "check_circle", "Works")
