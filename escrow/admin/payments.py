"""Admin pages of collections and payouts: where each stands, what the provider was asked, what it said."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from core.console import display
from core.console.display import Badge
from core.console.history import HistoryAdmin, see_other
from core.money import format_amount
from escrow.admin.filters import ProviderFilter
from escrow.admin.terms import is_public_id, posted_term, read_id
from escrow.badges import (
    CONTRADICTED,
    collection_badge,
    contradiction_badge,
    payment_provider,
    payout_badge,
    step_badge,
)
from escrow.models import Collection, Contradiction, LedgerTransfer, Payout
from escrow.models.chart import TransferKind
from escrow.roles import VIEW_ESCROW, VIEW_TRANSFER
from kyc.admin.filters import MOST_PEOPLE, people_by_email

MOST_ROWS = 50
LARGE_COLUMNS = ("checkout_url", "last_error")
OF_PAYOUTS = (
    TransferKind.PAYOUT_REQUESTED,
    TransferKind.PAYOUT_SETTLED,
    TransferKind.PAYOUT_FAILED,
    TransferKind.PAYOUT_RETURNED,
)
NOTHING_FOUND = (
    "Nothing was found. Search by id, by public id, by our reference, "
    "or by the start of the e-mail address of a user."
)


class ContradictedFilter(admin.SimpleListFilter):
    title = "flag"
    parameter_name = "flag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("contradicted", "contradicted, not closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(is_contradicted=True) if self.value() == "contradicted" else queryset


class PaymentAdmin(HistoryAdmin):
    """What collections and payouts have in common. Rows show only ids of users."""

    page_template = "escrow/console/payment.html"
    list_display = ("payment", "standing", "amount", "about", "since")
    list_display_links = ("payment",)
    list_filter = ("state", ProviderFilter, ContradictedFilter)
    ordering = ("-id",)
    sortable_by = ()
    list_max_show_all = 0
    model: type[Collection | Payout]
    of_contradiction: ClassVar[str]  # its foreign key to this model
    of_user: ClassVar[str]  # this model's foreign key to the user whose money it is

    def badge_of(self, row: Any) -> Badge:
        raise NotImplementedError

    def about_of(self, row: Any) -> str:
        raise NotImplementedError

    def transfers_of(self, row: Any) -> QuerySet[LedgerTransfer]:
        raise NotImplementedError

    @property
    def linked_lookups(self) -> tuple[str, ...]:  # type: ignore[override]  # made from the subclass's column
        return (f"{self.of_user}__in",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        said = Contradiction.objects.filter(**{self.of_contradiction: OuterRef("pk")}, closed_at__isnull=True)
        return self.model.objects.annotate(is_contradicted=Exists(said))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = read_id(object_id)
        rows = self.model.objects.select_related(self.of_user)
        return None if found is None else rows.filter(pk=found).first()

    # --- The list's columns ---

    @admin.display(description="payment")
    def payment(self, row: Any) -> SafeString:
        return format_html(
            '<span class="am-name">{} {}</span><span class="am-second">{}</span>',
            self.opts.verbose_name.capitalize(),
            row.pk,
            payment_provider(row.provider),
        )

    @admin.display(description="state")
    def standing(self, row: Any) -> SafeString:
        badge = self.badge_of(row)
        flag = (
            display.badge(CONTRADICTED.tone, CONTRADICTED.icon, CONTRADICTED.text)
            if row.is_contradicted
            else ""
        )
        return format_html("{}{}", display.badge(badge.tone, badge.icon, badge.text), flag)

    @admin.display(description="amount")
    def amount(self, row: Any) -> SafeString:
        return format_html('<span class="am-first">{}</span>', format_amount(row.amount_minor, row.currency))

    @admin.display(description="of")
    def about(self, row: Any) -> SafeString:
        return format_html('<span class="am-second">{}</span>', self.about_of(row))

    @admin.display(description="since")
    def since(self, row: Any) -> SafeString:
        moment = display.time_tag(row.state_since, display.ago(row.state_since))
        return format_html('<span class="am-second">{}</span>', moment)

    # --- Search ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.find))
        name = self.url_name("find").removeprefix("admin:")
        return [path("find/", view, name=name), *super().get_urls()]

    def find(self, request: HttpRequest) -> HttpResponse:
        """Redirects to the found row or a list of results. URL and log do not contain the search term."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = posted_term(request)
        if term and (found := self.found(term)):
            return see_other(self.page_url(found))
        people = self.found_people(term) if term else ""
        if term and not people:
            messages.info(request, NOTHING_FOUND)
        rows = reverse(self.url_name("changelist"))
        return see_other(f"{rows}?{people}" if people else rows)

    def found(self, term: str) -> int | None:
        if is_public_id(term):
            wanted = Q(public_id=term) | Q(reference=term)  # a reference looks like one
        elif (found := read_id(term)) is not None:
            wanted = Q(pk=found)
        else:
            wanted = Q(reference=term)
        return self.model.objects.filter(wanted).values_list("pk", flat=True).first()

    def found_people(self, term: str) -> str:
        people = people_by_email(term).values_list("pk", flat=True)[:MOST_PEOPLE]
        return urlencode({f"{self.of_user}__in": ",".join(map(str, people))}, safe=",") if people else ""

    # --- One row ---

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        events = row.events.select_related("actor").order_by("-id")[:MOST_ROWS]
        sees_transfers = request.user.has_perm(VIEW_TRANSFER)
        noted = row.contradictions.order_by(F("closed_at").desc(nulls_first=True), "-id")[:MOST_ROWS]
        said = [(found, contradiction_badge(found)) for found in noted]
        return {
            "title": f"{self.opts.verbose_name.capitalize()} {row.pk}",
            "badge": self.badge_of(row),
            "provider": payment_provider(row.provider),
            "person": getattr(row, self.of_user),
            "contradictions": said,
            "is_contradicted": any(found.closed_at is None for found, _badge in said),
            "calls": list(row.calls.order_by("-id")[:MOST_ROWS]),
            "webhooks": list(row.payment_events.defer("body").order_by("-id")[:MOST_ROWS]),
            "timeline": [(event, step_badge(event.event)) for event in events],
            "transfers": list(self.transfers_of(row)[:MOST_ROWS]) if sees_transfers else None,
            "may_see_escrows": request.user.has_perm(VIEW_ESCROW),
        }


@admin.register(Payout)
class PayoutAdmin(PaymentAdmin):
    of_contradiction, of_user = "payout", "user"

    def badge_of(self, row: Payout) -> Badge:
        return payout_badge(row.state)

    def about_of(self, row: Payout) -> str:
        return f"user {row.user_id}, {row.get_source_display()}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payout]:
        rows: QuerySet[Payout] = super().get_queryset(request).defer("destination_encrypted", "last_error")
        return rows

    def transfers_of(self, row: Payout) -> QuerySet[LedgerTransfer]:
        """By their keys (escrow/payments/booking.py), which have an index."""
        keys = [f"payout:{row.pk}:{kind.value.removeprefix('payout_')}" for kind in OF_PAYOUTS]
        found = LedgerTransfer.objects.filter(kind__in=OF_PAYOUTS, key__in=keys)
        return found.defer("request_hash").order_by("-id")


@admin.register(Collection)
class CollectionAdmin(PaymentAdmin):
    of_contradiction, of_user = "collection", "payer"

    def badge_of(self, row: Collection) -> Badge:
        return collection_badge(row.state)

    def about_of(self, row: Collection) -> str:
        return f"user {row.payer_id}, escrow {row.escrow_id}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Collection]:
        rows: QuerySet[Collection] = super().get_queryset(request).defer(*LARGE_COLUMNS)
        return rows

    def transfers_of(self, row: Collection) -> QuerySet[LedgerTransfer]:
        """Of those of its escrow, which has few, the ones with its keys."""
        found = LedgerTransfer.objects.filter(
            escrow_id=row.escrow_id, key__startswith=f"collection:{row.pk}:"
        )
        return found.defer("request_hash").order_by("-id")


def page_of_payment(key: str) -> tuple[str, str] | None:
    """Returns (name, address) of the payment that a transfer's key names; None for another key."""
    what, _, rest = key.partition(":")
    found = read_id(rest.partition(":")[0])
    if what not in ("payout", "collection") or found is None:
        return None
    return f"{what.capitalize()} {found}", reverse(f"admin:escrow_{what}_change", args=[found])
