"""Admin pages of limits: the current matrix, the history of each limit, and the form for new ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from core.console.history import HistoryAdmin, see_other
from core.money import format_amount
from kyc.admin.limit_form import LimitForm
from kyc.admin.operator import operator
from kyc.limits.matrix import history, matrix
from kyc.models import LimitKind, LimitRule
from kyc.roles import CHANGE_LIMITS
from kyc.tiers import TIERS

MOST_RULES = 200
FIELDS = ("tier", "currency", "kind", "amount", "valid_from")  # fields of the form that a link can fill in


@admin.register(LimitRule)
class LimitRuleAdmin(HistoryAdmin):
    page_template = "kyc/console/limit.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(self.set_limit))
        return [path("set/", view, name=self.url_name("set").removeprefix("admin:")), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Shows the matrix of current limits instead of a list of rows."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            "title": "Limits",
            "currencies": matrix().items(),
            "kinds": LimitKind.choices,
            "may_set": self.may(request, CHANGE_LIMITS),
        }
        return self.framed(request, "kyc/console/limits.html", context)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> LimitRule | None:
        if not object_id.isdecimal():
            return None
        return LimitRule.objects.select_related("created_by").filter(pk=object_id).first()

    def page_context(self, request: HttpRequest, row: LimitRule) -> dict[str, Any]:
        rules = list(history(row)[:MOST_RULES])
        now = timezone.now()
        return {
            "title": str(row),
            "tier": TIERS[row.tier],
            "rules": rules,
            "holds": next((rule for rule in rules if rule.valid_from <= now), None),
            "now": now,
            "take_back": taking_back(row, rules, now),
            "may_set": self.may(request, CHANGE_LIMITS),
        }

    # --- Setting a limit: form, confirmation, then `set_limit` ---

    def set_limit(self, request: HttpRequest) -> HttpResponse:
        if not self.may(request, CHANGE_LIMITS):
            raise PermissionDenied
        if request.method != "POST":
            return self.form_page(
                request, LimitForm(initial={name: request.GET.get(name) for name in FIELDS})
            )
        form = LimitForm(request.POST)
        if not form.is_valid() or "back" in request.POST:
            return self.form_page(request, form)
        before = form.rule_before()
        if "confirmed" not in request.POST:
            return self.confirm_page(request, form, before)
        if not form.has_seen(before):
            messages.warning(request, "Nothing was set, because the limit has changed. Check it again.")
            return self.confirm_page(request, form, before)
        rule = form.save(operator(request))
        if rule is None:
            return self.form_page(request, form)
        messages.success(request, "The limit is set.")
        return see_other(self.page_url(rule.pk))

    def form_page(self, request: HttpRequest, form: LimitForm) -> HttpResponse:
        return self.framed(request, "kyc/console/limit_form.html", {"title": "Set a limit", "form": form})

    def confirm_page(self, request: HttpRequest, form: LimitForm, before: LimitRule | None) -> HttpResponse:
        data = form.cleaned_data
        context = {
            "title": "Set a limit",
            "form": form,
            "data": data,
            "tier": TIERS[data["tier"]],
            "kind": LimitKind(data["kind"]).label,
            "before": before,
            "is_lower": before is not None and data["amount_minor"] < before.amount_minor,
        }
        return self.framed(request, "kyc/console/limit_confirm.html", context)


def taking_back(planned: LimitRule, rules: list[LimitRule], now: datetime) -> str:
    """Returns the query string that fills in the form to undo a planned limit; "" if that is not needed.

    Rows cannot be deleted, so the earlier amount is set again one second after the planned limit begins.
    """
    after = (planned.valid_from + timedelta(seconds=1)).replace(microsecond=0)
    if planned.valid_from <= now or any(planned.valid_from < rule.valid_from <= after for rule in rules):
        return ""
    before = next((rule.amount_minor for rule in rules if rule.valid_from < planned.valid_from), 0)
    if before == planned.amount_minor:
        return ""
    cell = {"tier": planned.tier, "currency": planned.currency, "kind": planned.kind}
    amount = format_amount(before, planned.currency).removeprefix(f"{planned.currency} ")
    return urlencode({**cell, "amount": amount, "valid_from": f"{after.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"})
