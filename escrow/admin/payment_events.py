"""Admin pages of payment providers' webhooks and their outcome; one can be processed again.

The bodies have names and accounts, so they are not shown: the provider is asked again instead.
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
from escrow.admin.filters import ProviderFilter
from escrow.admin.terms import read_id
from escrow.badges import payment_event_badge, payment_provider
from escrow.models import PaymentEvent
from escrow.payments import events
from escrow.roles import REPROCESS_PAYMENT_EVENT, SEE_PAYMENTS
from kyc.admin.operator import operator


@admin.register(PaymentEvent)
class PaymentEventAdmin(HistoryAdmin):
    page_template = "escrow/console/payment_event.html"
    list_display = ("received", "standing", "why", "kind_of", "about")
    list_display_links = ("received",)
    list_filter = ("state", ProviderFilter)
    ordering = ("-id",)
    sortable_by = ()
    list_max_show_all = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[PaymentEvent]:
        return PaymentEvent.objects.defer("body")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> PaymentEvent | None:
        found = read_id(object_id)
        rows = PaymentEvent.objects.defer("body").select_related("asked_again_by")
        return None if found is None else rows.filter(pk=found).first()

    @admin.display(description="received")
    def received(self, event: PaymentEvent) -> SafeString:
        return format_html(
            '<span class="am-name">{}</span><span class="am-second">webhook {}</span>',
            display.time_tag(event.received_at, display.ago(event.received_at)),
            event.pk,
        )

    @admin.display(description="outcome")
    def standing(self, event: PaymentEvent) -> SafeString:
        badge = payment_event_badge(event.state)
        return display.badge(badge.tone, badge.icon, badge.text)

    @admin.display(description="why")
    def why(self, event: PaymentEvent) -> SafeString:
        return format_html(
            '<span class="am-second am-wrap">{}</span>', display.short(event.reason, 160) or "—"
        )

    @admin.display(description="what")
    def kind_of(self, event: PaymentEvent) -> SafeString:
        return format_html(
            '<span class="am-first">{}</span><span class="am-second">{}</span>',
            event.kind or "webhook",
            payment_provider(event.provider),
        )

    @admin.display(description="about")
    def about(self, event: PaymentEvent) -> SafeString:
        return format_html('<span class="am-second">{}</span>', subject_of(event) or "—")

    def page_context(self, request: HttpRequest, row: PaymentEvent) -> dict[str, Any]:
        return {
            "title": f"Webhook {row.pk}",
            "badge": payment_event_badge(row.state),
            "provider": payment_provider(row.provider),
            "subject": subject_of(row),
            "may_see_payments": request.user.has_perms(SEE_PAYMENTS),
            "may_process": row.signature_ok and self.may(request, REPROCESS_PAYMENT_EVENT),
        }

    def get_urls(self) -> list[URLPattern]:
        return [self.action_path("again", REPROCESS_PAYMENT_EVENT, self.reprocess), *super().get_urls()]

    def reprocess(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "The provider will be asked again.",
            lambda: events.reprocess(event_id=pk, actor=operator(request), reason=posted_reason(request)),
        )
        return see_other(self.page_url(pk))


def subject_of(event: PaymentEvent) -> str:
    """Returns what of ours it names, for example `payout 7`; "" for nothing."""
    if event.payout_id:
        return f"payout {event.payout_id}"
    return f"collection {event.collection_id}" if event.collection_id else ""
