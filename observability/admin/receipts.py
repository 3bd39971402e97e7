"""Shows the requests that the webhook received, as they came, and processes an unreadable one again."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from core.console import display
from core.console.history import CappedChangeList, HistoryAdmin, actor_of, see_other
from observability.alerts import badges
from observability.alerts.intake.payload import NotAPayload, read_payload
from observability.alerts.intake.reprocess import can_reprocess, reprocess
from observability.models import Episode, Receipt
from observability.roles import REPROCESS_RECEIPT

ATTENTION_LASTS = timedelta(days=7)
TRUNCATION_LASTS = timedelta(days=1)  # Alertmanager reports it again with each repetition
MOST_CHARACTERS = 100_000
MOST_NOTES = 200
LONGEST_NOTE = 500
LONGEST_TEXT = 8_192
MOST_ALERTS = 50
MOST_BYTES_READ = 1_000_000


def needs_attention() -> Q:
    """Returns the condition of receipts of the last 7 days that were not stored in full.

    An older one was handled or no longer matters.
    """
    lately = timezone.now() - ATTENTION_LASTS
    return ~Q(outcome=Receipt.Outcome.STORED) & Q(reprocessed_at=None, received_at__gte=lately)


def lately_truncated() -> QuerySet[Receipt]:
    """Returns the receipts of the last day from which Alertmanager left alerts out, the newest first."""
    since = timezone.now() - TRUNCATION_LASTS
    return Receipt.objects.filter(truncated_alerts__gt=0, received_at__gte=since).order_by("-id")


class AttentionFirst(CappedChangeList):
    """Lists receipts that need attention first, unless the operator sorts by a column."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if "o" not in self.params:
            self.result_list = self.rows_with_first(needs_attention())


class NeedsAttentionFilter(admin.SimpleListFilter):
    title = "needs attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "not stored, or only in part")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Receipt]) -> QuerySet[Receipt]:
        if self.value() != "yes":
            return queryset
        return queryset.exclude(outcome=Receipt.Outcome.STORED).filter(reprocessed_at=None)


class TruncatedFilter(admin.SimpleListFilter):
    title = "alerts left out"
    parameter_name = "truncated"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "by Alertmanager (max_alerts)")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Receipt]) -> QuerySet[Receipt]:
        return queryset.filter(truncated_alerts__gt=0) if self.value() == "yes" else queryset


@admin.register(Receipt)
class ReceiptAdmin(HistoryAdmin):
    page_template = "observability/console/receipt.html"
    list_display = ("received", "state", "why", "counts", "bytes", "sender")
    list_filter = (NeedsAttentionFilter, TruncatedFilter, "outcome")
    date_hierarchy = None
    ordering = ("-id",)
    list_max_show_all = 0

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CappedChangeList]:
        return AttentionFirst

    def get_queryset(self, request: HttpRequest) -> QuerySet[Receipt]:
        rows: QuerySet[Receipt] = super().get_queryset(request)
        return rows.defer("body", "set_aside", "odd_fields")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Receipt | None:
        if not object_id.isdecimal():
            return None
        return Receipt.objects.select_related("reprocessed_by").filter(pk=object_id).first()

    @admin.display(description="received", ordering="received_at")
    def received(self, receipt: Receipt) -> SafeString:
        return format_html(
            '<span class="am-name">{}</span><span class="am-second">{}</span>',
            display.time_tag(receipt.received_at, display.ago(receipt.received_at)),
            f"receipt {receipt.pk}",
        )

    @admin.display(description="outcome", ordering="outcome")
    def state(self, receipt: Receipt) -> SafeString:
        outcome = display.badge(*badges.OUTCOME_BADGES[Receipt.Outcome(receipt.outcome)])
        if receipt.reprocessed_at is None:
            return outcome
        return format_html(
            '<span class="am-stack">{}{}</span>', outcome, display.badge("quiet", "replay", "Processed again")
        )

    @admin.display(description="why")
    def why(self, receipt: Receipt) -> SafeString:
        return format_html(
            '<span class="am-second am-wrap">{}</span>', display.short(receipt.reason, 160) or "—"
        )

    @admin.display(description="alerts")
    def counts(self, receipt: Receipt) -> SafeString:
        details = f"{receipt.changed_count:,} changed"
        if receipt.truncated_alerts:
            details += f", {receipt.truncated_alerts:,} left out by Alertmanager"
        return format_html(
            '<span class="am-first">{}</span><span class="am-second">{}</span>',
            f"{receipt.alert_count:,}",
            details,
        )

    @admin.display(description="size", ordering="size")
    def bytes(self, receipt: Receipt) -> str:
        return filesizeformat(receipt.size)

    @admin.display(description="from")
    def sender(self, receipt: Receipt) -> str:
        return receipt.remote_address or "—"

    def page_context(self, request: HttpRequest, row: Receipt) -> dict[str, Any]:
        body, is_cut = readable(bytes(row.body))
        return {
            "body": body,
            "body_is_cut": is_cut,
            "shown_characters": MOST_CHARACTERS,
            "reason": display.short(row.reason, LONGEST_TEXT),
            "set_aside": notes(row.set_aside),
            "odd_fields": notes(row.odd_fields),
            "set_aside_more": max(0, len(row.set_aside) - MOST_NOTES),
            "odd_fields_more": max(0, len(row.odd_fields) - MOST_NOTES),
            "alerts": alerts_in(bytes(row.body)),
            "may_reprocess": self.may(request, REPROCESS_RECEIPT) and can_reprocess(row),
            "raw_url": self.url_name("raw"),
        }

    def get_urls(self) -> list[URLPattern]:
        return [
            self.action_path("reprocess", REPROCESS_RECEIPT, self.reprocess),
            path(
                "<int:pk>/raw/",
                self.admin_site.admin_view(require_safe(self.raw)),
                name="observability_receipt_raw",
            ),
            *super().get_urls(),
        ]

    def reprocess(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "Processed again. New alerts are stored, and their notifications are planned.",
            lambda: reprocess(receipt_id=pk, actor=actor_of(request)),
        )
        return see_other(self.page_url(pk))

    def raw(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answers with the body as a file, which the browser does not render: its content is not trusted."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        body = Receipt.objects.filter(pk=pk).values_list("body", flat=True).first()
        if body is None:
            raise Http404(f"There is no receipt {pk}.")
        return HttpResponse(
            bytes(body),
            content_type="text/plain; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="receipt-{pk}.txt"',
                "X-Content-Type-Options": "nosniff",
            },
        )


def notes(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the first MOST_NOTES notes about alerts, with their texts cut off."""
    return [
        {
            name: display.short(value, LONGEST_NOTE) if isinstance(value, str) else value
            for name, value in note.items()
        }
        for note in kept[:MOST_NOTES]
    ]


def readable(body: bytes) -> tuple[str, bool]:
    """Returns the beginning of the body, indented if it is JSON, and whether it was cut off."""
    if len(body) > MOST_CHARACTERS:
        return body[:MOST_CHARACTERS].decode(errors="replace"), True
    text = body.decode(errors="replace")
    try:
        pretty = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text, False
    return pretty[:MOST_CHARACTERS], len(pretty) > MOST_CHARACTERS


def alerts_in(body: bytes) -> list[Episode]:
    """Returns the episodes of the alerts in the body; none for a very large body, which is not read for that.

    The start of an alert may differ from that of its episode. The alert belongs to the newest episode that
    had begun by then.
    """
    if len(body) > MOST_BYTES_READ:
        return []
    try:
        payload = read_payload(body)
    except NotAPayload:
        return []
    wanted = Q()
    for alert in payload.alerts[:MOST_ALERTS]:
        began = {"starts_at__lte": alert["starts_at"]} if alert["starts_at"] else {}
        wanted |= Q(fingerprint=alert["fingerprint"], **began)
    if not wanted:
        return []
    newest = Episode.objects.filter(wanted).order_by("fingerprint", "-starts_at").distinct("fingerprint")
    return list(Episode.objects.filter(pk__in=newest.values("pk")).order_by("-starts_at", "-id"))
