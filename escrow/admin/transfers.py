"""Admin pages of transfers, the newest first, and of one transfer with its entries."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, Q, QuerySet, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from core.console import display
from core.console.history import CappedChangeList, HistoryAdmin, see_other
from core.money import format_amount
from escrow.admin.payments import page_of_payment
from escrow.admin.terms import is_public_id, posted_term, read_id
from escrow.badges import account_words, transfer_badge
from escrow.models import LedgerEntry, LedgerTransfer
from escrow.models.chart import TransferKind
from escrow.roles import SEE_PAYMENTS, VIEW_ACCOUNT, VIEW_ESCROW
from observability.tracing import request_search

OF_ESCROW = "escrow_id"
NOTHING_FOUND = "No transfer was found. Search by id, by public id, or by the whole key of a request."


class TransferList(CappedChangeList):
    """Prefetches the entries of all rows, with their accounts, by one query."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        entries = LedgerEntry.objects.select_related("account").order_by("transfer_id", "position")
        prefetch_related_objects(self.result_list, Prefetch("entries", queryset=entries, to_attr="legs"))


@admin.register(LedgerTransfer)
class TransferAdmin(HistoryAdmin):
    """Rows show only ids; the name of who asked for a transfer is on its page."""

    page_template = "escrow/console/transfer.html"
    list_display = ("posted", "what", "amount", "route", "about", "asked_by")
    list_display_links = ("posted",)
    list_filter = ("kind",)
    linked_lookups = (OF_ESCROW,)
    ordering = ("-id",)
    sortable_by = ()
    list_max_show_all = 0

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TransferList]:
        return TransferList

    def get_queryset(self, request: HttpRequest) -> QuerySet[LedgerTransfer]:
        return LedgerTransfer.objects.defer("request_hash")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> LedgerTransfer | None:
        found = read_id(object_id)
        if found is None:
            return None
        rows = LedgerTransfer.objects.defer("request_hash")
        return rows.select_related("actor", "reverses", "resolves").filter(pk=found).first()

    # --- The list's columns ---

    @admin.display(description="posted")
    def posted(self, transfer: LedgerTransfer) -> SafeString:
        return format_html(
            '<span class="am-name">{}</span><span class="am-second">transfer {}</span>',
            display.time_tag(transfer.created_at, display.clock(transfer.created_at, seconds=True)),
            transfer.pk,
        )

    @admin.display(description="what")
    def what(self, transfer: LedgerTransfer) -> SafeString:
        badge = transfer_badge(transfer.kind)
        return display.badge(badge.tone, badge.icon, badge.text)

    @admin.display(description="amount")
    def amount(self, transfer: LedgerTransfer) -> SafeString:
        return format_html('<span class="am-first">{}</span>', " + ".join(amounts_of(legs_of(transfer))))

    @admin.display(description="from → to")
    def route(self, transfer: LedgerTransfer) -> SafeString:
        return format_html(
            '<span class="am-wrap">{}</span><span class="am-second am-wrap">→ {}</span>',
            accounts_of(entry for entry in legs_of(transfer) if entry.amount_minor < 0),
            accounts_of(entry for entry in legs_of(transfer) if entry.amount_minor > 0),
        )

    @admin.display(description="escrow")
    def about(self, transfer: LedgerTransfer) -> SafeString:
        return format_html(
            '<span class="am-second">{}</span>', f"escrow {transfer.escrow_id}" if transfer.escrow_id else "—"
        )

    @admin.display(description="asked by")
    def asked_by(self, transfer: LedgerTransfer) -> SafeString:
        who = f"user {transfer.actor_id}" if transfer.actor_id else "Amani"
        return format_html('<span class="am-second">{}</span>', who)

    # --- Search ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.find))
        return [path("find/", view, name="escrow_ledgertransfer_find"), *super().get_urls()]

    def find(self, request: HttpRequest) -> HttpResponse:
        """Redirects to the newest transfer with this id, public id or key."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = posted_term(request)
        found = list(found_transfers(term)[:1]) if term else []
        if term and not found:
            messages.info(request, NOTHING_FOUND)
        return see_other(self.page_url(found[0]) if found else reverse(self.url_name("changelist")))

    # --- One transfer ---

    def page_context(self, request: HttpRequest, row: LedgerTransfer) -> dict[str, Any]:
        entries = list(row.entries.select_related("account").order_by("position"))
        return {
            "title": f"Transfer {row.pk}",
            "badge": transfer_badge(row.kind),
            "entries": entries,
            "amounts": amounts_of(entries),
            "reversed_by": LedgerTransfer.objects.filter(reverses=row).only("id", "kind").first(),
            "resolved_by": LedgerTransfer.objects.filter(resolves=row).only("id", "kind").first(),
            "traces_url": request_search(row.request_id, row.created_at),
            "payment": page_of_payment(row.key) if request.user.has_perms(SEE_PAYMENTS) else None,
            "may_see_accounts": request.user.has_perm(VIEW_ACCOUNT),
            "may_see_escrows": request.user.has_perm(VIEW_ESCROW),
        }


def legs_of(transfer: LedgerTransfer) -> list[LedgerEntry]:
    legs: list[LedgerEntry] = getattr(transfer, "legs")  # noqa: B009  (set by Prefetch)
    return legs


def amounts_of(entries: list[LedgerEntry]) -> list[str]:
    """Returns what was moved: the sum of the credits, one text for each currency."""
    moved: dict[str, int] = {}
    for entry in entries:
        if entry.amount_minor > 0:
            moved[entry.currency] = moved.get(entry.currency, 0) + entry.amount_minor
    return [format_amount(amount, currency) for currency, amount in moved.items()]


def accounts_of(entries: Any) -> str:
    return ", ".join(account_words(entry.account.kind_id, entry.account.owner) for entry in entries)


def found_transfers(term: str) -> QuerySet[LedgerTransfer, int]:
    """Selects ids. A key is unique within its kind, so each kind is a look-up in that index."""
    if is_public_id(term):
        wanted = Q(public_id=term)
    elif (found := read_id(term)) is not None:
        wanted = Q(pk=found)
    else:
        wanted = Q(kind__in=TransferKind.values, key=term)
    return LedgerTransfer.objects.filter(wanted).order_by("-id").values_list("pk", flat=True)
