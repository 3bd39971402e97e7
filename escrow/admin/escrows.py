"""Admin pages of escrows, the newest first, and of one, which an approver may freeze or, short, end."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from core.console import display
from core.console.history import HistoryAdmin, posted_reason, see_other
from core.money import format_amount
from escrow import escrows
from escrow.admin import escrow_page
from escrow.admin.filters import PARTY, FrozenFilter, PartyFilter, StateFilter, is_of_an_open_state
from escrow.admin.terms import is_public_id, posted_term, read_id
from escrow.badges import FROZEN, SHORT, STATE_BADGES
from escrow.models import Escrow, Role
from escrow.roles import FREEZE_ESCROW
from escrow.states import State
from kyc.admin.filters import MOST_PEOPLE, people_by_email
from kyc.admin.operator import operator

LONGEST_TITLE = 60
NOTHING_FOUND = (
    "No escrow was found. Search by id, by public id, or by the start of the e-mail address of a party."
)


@admin.register(Escrow)
class EscrowAdmin(HistoryAdmin):
    """Rows show only ids of users; names and e-mail addresses are on the page of one escrow."""

    page_template = "escrow/console/escrow.html"
    list_display = ("escrow", "standing", "parties", "money", "begun")
    list_display_links = ("escrow",)
    list_filter = (StateFilter, FrozenFilter, PartyFilter)
    sortable_by = ()
    list_max_show_all = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Escrow]:
        return Escrow.objects.annotate(title=KeyTextTransform("title", "terms__document"))

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-created_at", "-id") if is_of_an_open_state(request) else ("-id",)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Escrow | None:
        found = read_id(object_id)
        if found is None:
            return None
        rows = Escrow.objects.select_related("buyer", "seller", "terms", "cancel_asked_by")
        return rows.filter(pk=found).first()

    # --- The list's columns ---

    @admin.display(description="escrow")
    def escrow(self, escrow: Escrow) -> SafeString:
        title: str | None = getattr(escrow, "title")  # noqa: B009  (annotated by get_queryset)
        return format_html(
            '<span class="am-name">Escrow {}</span><span class="am-second am-wrap">{}</span>',
            escrow.pk,
            display.short(title or "no terms yet", LONGEST_TITLE),
        )

    @admin.display(description="state")
    def standing(self, escrow: Escrow) -> SafeString:
        badge = STATE_BADGES[State(escrow.state)]
        frozen = display.badge(FROZEN.tone, FROZEN.icon, FROZEN.text) if escrow.frozen_at else ""
        is_short = escrow.short_minor and not escrow.closed_at
        short = display.badge(SHORT.tone, SHORT.icon, SHORT.text) if is_short else ""
        return format_html("{}{}{}", display.badge(badge.tone, badge.icon, badge.text), frozen, short)

    @admin.display(description="buyer → seller")
    def parties(self, escrow: Escrow) -> SafeString:
        return format_html(
            '<span class="am-second">{} → {}</span>',
            f"user {escrow.buyer_id}" if escrow.buyer_id else "invited",
            f"user {escrow.seller_id}" if escrow.seller_id else "invited",
        )

    @admin.display(description="money")
    def money(self, escrow: Escrow) -> SafeString:
        return format_html(
            '<span class="am-first">{}</span><span class="am-second">{} arrived</span>',
            format_amount(escrow.due_minor, escrow.currency),
            format_amount(escrow.funded_minor, escrow.currency),
        )

    @admin.display(description="created")
    def begun(self, escrow: Escrow) -> SafeString:
        moment = display.time_tag(escrow.created_at, display.ago(escrow.created_at))
        return format_html('<span class="am-second">{}</span>', moment)

    # --- POST requests ---

    def get_urls(self) -> list[URLPattern]:
        find = self.admin_site.admin_view(require_POST(self.find))
        return [
            self.action_path("freeze", FREEZE_ESCROW, self.freeze),
            self.action_path("unfreeze", FREEZE_ESCROW, self.unfreeze),
            self.action_path("end_for_buyer", FREEZE_ESCROW, partial(self.end_short, to=Role.BUYER)),
            self.action_path("end_for_seller", FREEZE_ESCROW, partial(self.end_short, to=Role.SELLER)),
            path("find/", find, name="escrow_escrow_find"),
            *super().get_urls(),
        ]

    def freeze(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "Frozen. No money leaves it until it is unfrozen.",
            lambda: escrows.freeze(escrow_id=pk, operator=operator(request), reason=posted_reason(request)),
        )
        return see_other(self.page_url(pk))

    def unfreeze(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.perform(
            request,
            "Unfrozen. Inspections go on with the time that was left.",
            lambda: escrows.unfreeze(escrow_id=pk, operator=operator(request), reason=posted_reason(request)),
        )
        return see_other(self.page_url(pk))

    def end_short(self, request: HttpRequest, pk: int, *, to: Role) -> HttpResponse:
        self.perform(
            request,
            f"Ended. What it held went to the {to.label.lower()}.",
            lambda: escrows.end_short(
                escrow_id=pk, operator=operator(request), reason=posted_reason(request), to=to
            ),
        )
        return see_other(self.page_url(pk))

    def find(self, request: HttpRequest) -> HttpResponse:
        """Redirects to the found escrow or a list of results. URL and log do not contain the search term."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = posted_term(request)
        if found := found_escrow(term):
            return see_other(self.page_url(found))
        people = found_parties(term) if term else ""
        if term and not people:
            messages.info(request, NOTHING_FOUND)
        rows = reverse(self.url_name("changelist"))
        return see_other(f"{rows}?{people}" if people else rows)

    def page_context(self, request: HttpRequest, row: Escrow) -> dict[str, Any]:
        return escrow_page.page_context(row, operator(request))


def found_escrow(term: str) -> int | None:
    """Finds an escrow by id or public id."""
    if is_public_id(term):
        wanted = Q(public_id=term)
    elif (found := read_id(term)) is not None:
        wanted = Q(pk=found)
    else:
        return None
    return Escrow.objects.filter(wanted).values_list("pk", flat=True).first()


def found_parties(term: str) -> str:
    """Returns the query string of the list of their escrows; "" if no user has such an address."""
    people = people_by_email(term).values_list("pk", flat=True)[:MOST_PEOPLE]
    return urlencode({PARTY: ",".join(map(str, people))}, safe=",") if people else ""
