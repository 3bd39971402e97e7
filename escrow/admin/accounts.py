"""Admin pages of the ledger's accounts, and of one account: its balance and its statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.views.decorators.http import require_POST

from accounts.models import User
from core.console import display
from core.console.history import CappedChangeList, HistoryAdmin, see_other
from core.money import format_amount
from escrow.admin.terms import posted_term, read_id
from escrow.badges import OF_PROVIDERS, account_words
from escrow.ledger.balances import OF_USERS
from escrow.ledger.statements import PAGE, entries_of
from escrow.models import LedgerAccount, LedgerBalance
from escrow.models.chart import AccountKind
from escrow.payments.registry import PROVIDERS
from escrow.roles import VIEW_ESCROW, VIEW_TRANSFER
from kyc.admin.filters import MOST_PEOPLE, people_by_email

OWNER, KINDS = "owner__in", "kind__in"  # Django's own lookups in the URL
NOTHING_FOUND = (
    "No account was found. Search by the id of a user or an escrow, by the start of an e-mail address, "
    "or by the name of a provider."
)


class KindFilter(admin.SimpleListFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(AccountKind.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() in AccountKind.values else queryset


class CurrencyFilter(admin.SimpleListFilter):
    """Offers the currencies that a provider ever held: each other account got its money from there."""

    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = LedgerAccount.objects.filter(kind=AccountKind.PROVIDER_CLEARING).order_by()
        return [(name, name) for name in sorted(set(rows.values_list("currency", flat=True)))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(currency=self.value()) if self.value() else queryset


class AccountList(CappedChangeList):
    """Reads the balances of all rows by one query: the sum of the shards of each."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        found = balances_of_accounts([account.pk for account in self.result_list])
        for account in self.result_list:
            account.balance_minor = found.get(account.pk, 0)


@admin.register(LedgerAccount)
class AccountAdmin(HistoryAdmin):
    """Rows show only ids of users; name and e-mail address are on the page of one account."""

    page_template = "escrow/console/account.html"
    list_display = ("account", "whose", "balance", "opened")
    list_display_links = ("account",)
    list_filter = (KindFilter, CurrencyFilter)
    linked_lookups = (OWNER, KINDS)
    ordering = ("-id",)
    sortable_by = ()
    list_max_show_all = 0

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[AccountList]:
        return AccountList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> LedgerAccount | None:
        found = read_id(object_id)
        return None if found is None else LedgerAccount.objects.filter(pk=found).first()

    # --- The list's columns ---

    @admin.display(description="account")
    def account(self, account: LedgerAccount) -> SafeString:
        return format_html(
            '<span class="am-name">{}</span><span class="am-second">account {}</span>',
            capfirst(account_words(account.kind_id, account.owner)),
            account.pk,
        )

    @admin.display(description="whose")
    def whose(self, account: LedgerAccount) -> SafeString:
        return format_html('<span class="am-second">{}</span>', "house" if account.is_house else "customer")

    @admin.display(description="balance")
    def balance(self, account: LedgerAccount) -> SafeString:
        amount: int = getattr(account, "balance_minor")  # noqa: B009  (set by AccountList)
        return format_html('<span class="am-first">{}</span>', format_amount(amount, account.currency))

    @admin.display(description="opened")
    def opened(self, account: LedgerAccount) -> SafeString:
        moment = display.time_tag(account.created_at, display.clock(account.created_at))
        return format_html('<span class="am-second">{}</span>', moment)

    # --- Search ---

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.find))
        return [path("find/", view, name="escrow_ledgeraccount_find"), *super().get_urls()]

    def find(self, request: HttpRequest) -> HttpResponse:
        """Redirects to the list of results. URL and log do not contain an e-mail address."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = posted_term(request)
        found = list_of_owners(term) if term else ""
        if found is None:
            messages.info(request, NOTHING_FOUND)
        accounts = reverse(self.url_name("changelist"))
        return see_other(f"{accounts}?{found}" if found else accounts)

    # --- One account ---

    def page_context(self, request: HttpRequest, row: LedgerAccount) -> dict[str, Any]:
        shards = list(LedgerBalance.objects.filter(account=row).order_by("shard"))
        before = read_id(request.GET.get("before", ""))
        entries = list(entries_of(row.pk, before=before).defer("transfer__request_hash")[: PAGE + 1])
        return {
            "title": f"Account {row.pk}",
            "name": capfirst(account_words(row.kind_id, row.owner)),
            "kind": AccountKind(row.kind_id),
            "person": owner_of(row),
            "others": others_of_the_owner(row),
            "shards": shards,
            "balance_minor": sum(shard.posted_minor for shard in shards),
            "entry_count": sum(shard.version for shard in shards),
            "entries": entries[:PAGE],
            "before": before,
            "older": entries[PAGE - 1].pk if len(entries) > PAGE else None,
            "may_see_transfers": request.user.has_perm(VIEW_TRANSFER),
            "may_see_escrows": request.user.has_perm(VIEW_ESCROW),
        }


def balances_of_accounts(account_ids: list[int]) -> dict[int, int]:
    """Returns the balances in minor units, by account."""
    rows = LedgerBalance.objects.filter(account_id__in=account_ids).values("account_id")
    return dict(rows.annotate(total=Sum("posted_minor")).values_list("account_id", "total"))


def owner_of(account: LedgerAccount) -> User | None:
    """Returns the user whose account it is, if it is a user's."""
    if account.kind_id not in OF_USERS:
        return None
    return User.objects.filter(pk=account.owner).first()


def others_of_the_owner(account: LedgerAccount) -> str:
    """Returns the query string of the list of all accounts of a user or a provider; "" for other owners.

    Without the kinds it would also find the escrow whose id is that of the user.
    """
    for kinds in (OF_USERS, OF_PROVIDERS):
        if account.kind_id in kinds:
            return query_of([account.owner], kinds)
    return ""


def list_of_owners(term: str) -> str | None:
    """Returns the query string of the list of accounts that `term` names, or None if there are none."""
    owners, kinds = owners_named(term)
    wanted = LedgerAccount.objects.filter(owner__in=owners)
    wanted = wanted.filter(kind__in=kinds) if kinds else wanted
    if not owners or not wanted.exists():
        return None
    return query_of(owners, kinds)


def query_of(owners: Iterable[str], kinds: Iterable[str]) -> str:
    """Returns the query string of the list of these owners' accounts; no kinds: of all kinds."""
    values = {OWNER: ",".join(owners), KINDS: ",".join(kinds)}
    return urlencode({name: value for name, value in values.items() if value}, safe=",")


def owners_named(term: str) -> tuple[list[str], list[str]]:
    """Returns the owners (as accounts name them), and the kinds of their accounts; no kinds: all."""
    if read_id(term) is not None:
        return [str(read_id(term))], []
    if names := list(providers_named(term)):
        return names, []
    people = people_by_email(term).values_list("pk", flat=True)[:MOST_PEOPLE]
    return [str(pk) for pk in people], [kind.value for kind in OF_USERS]


def providers_named(term: str) -> Iterator[str]:
    for name, provider in PROVIDERS.items():
        if term.lower() in (name, provider.label.lower()):
            yield name
