"""Admin pages of fees: the current one of each currency, its history, and the form for a new one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from core.console.history import HistoryAdmin, see_other
from core.money import format_amount
from escrow.admin.fee_form import AMOUNTS, FeeForm
from escrow.admin.terms import read_id
from escrow.escrows.fee_rules import terms_of
from escrow.fee_texts import percent, samples
from escrow.models import FeeRule
from escrow.roles import SET_FEES
from kyc.admin.operator import operator

MOST_RULES = 200
FIELDS = ("currency", "percent", *AMOUNTS, "from_at")  # fields of the form that a link can fill in


class Standing(NamedTuple):
    """A currency with its fee of now, None before its first one begins, and with the next one."""

    currency: str
    rule: FeeRule | None
    planned: FeeRule | None

    @property
    def shown(self) -> FeeRule | None:
        """The one that leads to the currency's page: one of them exists."""
        return self.rule or self.planned


@admin.register(FeeRule)
class FeeRuleAdmin(HistoryAdmin):
    page_template = "escrow/console/fee.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(self.set_fee))
        return [path("set/", view, name=self.url_name("set").removeprefix("admin:")), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Shows the fee of each currency instead of a list of rows."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        fees = standing(timezone.now())
        context = {
            "title": "Fees",
            "fees": fees,
            "examples": [fee.currency for fee in fees if fee.rule and fee.rule.created_by_id is None],
            "may_set": self.may(request, SET_FEES),
        }
        return self.framed(request, "escrow/console/fees.html", context)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> FeeRule | None:
        found = read_id(object_id)
        return None if found is None else FeeRule.objects.filter(pk=found).first()

    def page_context(self, request: HttpRequest, row: FeeRule) -> dict[str, Any]:
        rules = list(history(row.currency)[:MOST_RULES])
        now = timezone.now()
        return {
            "title": f"Fee for {row.currency}",
            "rules": rules,
            "holds": next((rule for rule in rules if rule.from_at <= now), None),
            "now": now,
            "samples": samples(row.currency, terms_of(row)),
            "another": urlencode(as_typed(row)),
            "take_back": taking_back(row, rules, now),
            "may_set": self.may(request, SET_FEES),
        }

    # --- Setting a fee: form, confirmation, then `set_fee` ---

    def set_fee(self, request: HttpRequest) -> HttpResponse:
        if not self.may(request, SET_FEES):
            raise PermissionDenied
        if request.method != "POST":
            return self.form_page(request, FeeForm(initial={name: request.GET.get(name) for name in FIELDS}))
        form = FeeForm(request.POST)
        if not form.is_valid() or "back" in request.POST:
            return self.form_page(request, form)
        before = form.rule_before()
        if "confirmed" not in request.POST:
            return self.confirm_page(request, form, before)
        if not form.has_seen(before):
            messages.warning(request, "Nothing was set, because the fee has changed. Check it again.")
            return self.confirm_page(request, form, before)
        rule = form.save(operator(request))
        if rule is None:
            return self.form_page(request, form)
        messages.success(request, "The fee is set.")
        return see_other(self.page_url(rule.pk))

    def form_page(self, request: HttpRequest, form: FeeForm) -> HttpResponse:
        return self.framed(request, "escrow/console/fee_form.html", {"title": "Set a fee", "form": form})

    def confirm_page(self, request: HttpRequest, form: FeeForm, before: FeeRule | None) -> HttpResponse:
        terms, currency = form.terms(), form.cleaned_data["currency"]
        context = {
            "title": "Set a fee",
            "form": form,
            "data": form.cleaned_data,
            "terms": terms,
            "before": before,
            "samples": samples(currency, terms, terms_of(before) if before else None),
        }
        return self.framed(request, "escrow/console/fee_confirm.html", context)


def standing(now: datetime) -> list[Standing]:
    """Returns the fee of each currency that has or will have one, with two queries."""
    of_currency = FeeRule.objects.select_related("created_by").distinct("currency")
    valid = of_currency.filter(from_at__lte=now).order_by("currency", "-from_at")
    planned = of_currency.filter(from_at__gt=now).order_by("currency", "from_at")
    holds = {rule.currency: rule for rule in valid}
    follows = {rule.currency: rule for rule in planned}
    currencies = sorted({*holds, *follows})
    return [Standing(currency, holds.get(currency), follows.get(currency)) for currency in currencies]


def history(currency: str) -> QuerySet[FeeRule]:
    """Selects all rules of the currency, newest first, planned ones included."""
    return FeeRule.objects.filter(currency=currency).select_related("created_by").order_by("-from_at")


def taking_back(planned: FeeRule, rules: list[FeeRule], now: datetime) -> str:
    """Returns the query string that fills in the form to undo a planned fee; "" if that is not possible.

    Rows cannot be deleted, so the earlier figures are set again one second after the planned fee begins. The
    first fee of a currency has no earlier one.
    """
    after = (planned.from_at + timedelta(seconds=1)).replace(microsecond=0)
    if planned.from_at <= now or any(planned.from_at < rule.from_at <= after for rule in rules):
        return ""
    before = next((rule for rule in rules if rule.from_at < planned.from_at), None)
    if before is None or terms_of(before) == terms_of(planned):
        return ""
    return urlencode({**as_typed(before), "from_at": f"{after.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"})


def as_typed(rule: FeeRule) -> dict[str, str]:
    """Returns the rule as fields of the form."""
    amounts = (rule.fixed_minor, rule.minimum_minor, rule.maximum_minor)
    typed = {
        name: format_amount(minor, rule.currency).removeprefix(f"{rule.currency} ")
        for name, minor in zip(AMOUNTS, amounts, strict=True)
        if minor is not None
    }
    return {
        "currency": rule.currency,
        "percent": percent(rule.percent_basis_points).removesuffix(" %"),
        **typed,
    }
