"""The form that sets a fee, in two steps: input, then confirmation with what it would be."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

from django import forms
from django.utils import timezone

from accounts.models import User
from core.console.forms import ServiceForm
from core.money import parse_amount
from escrow.escrows.fee_rules import LONGEST_REASON, checked, rule_at, set_fee
from escrow.escrows.fees import Terms
from escrow.models import FeeRule

PERCENT = re.compile(r"(\d{1,2})(?:\.(\d{1,2}))?", re.ASCII)
AMOUNTS = ("fixed", "minimum", "maximum")  # as typed; the service knows them as fixed_minor, …
NO_AMOUNT = "Enter an amount with no more decimals than the currency has."


def amount(**options: Any) -> forms.CharField:
    return forms.CharField(max_length=24, required=False, **options)


class FeeForm(ServiceForm):
    field_of = MappingProxyType(
        {"percent_basis_points": "percent", **{f"{name}_minor": name for name in AMOUNTS}}
    )

    currency = forms.CharField(max_length=3, min_length=3, help_text="ISO 4217, for example NGN.")
    percent = forms.CharField(
        max_length=8, label="Percentage", help_text="Of all milestones together, for example 1.5."
    )
    fixed = amount(label="Plus", help_text="In the currency's main unit, for example 50. Empty: nothing.")
    minimum = amount(label="At least", help_text="Empty: no minimum.")
    maximum = amount(label="At most", help_text="Empty: no maximum.")
    from_at = forms.DateTimeField(
        required=False,
        label="From (UTC)",
        help_text="Empty: from the moment you confirm.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}),
    )
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        help_text="Shown permanently in the fee's history.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).strip().upper()

    def clean_percent(self) -> str:
        """Keeps what was typed, which the form shows again."""
        typed: str = self.cleaned_data["percent"]
        if basis_points_from(typed) is None:
            raise forms.ValidationError("Enter 0 to 99.99, with at most two decimals after a point.")
        return typed

    def clean(self) -> dict[str, Any]:
        """Adds the errors that `set_fee` would raise, before the operator is asked to confirm."""
        data = self.cleaned_data
        for name in AMOUNTS if "currency" in data else ():
            if data.get(name) and parse_amount(data[name], data["currency"]) is None:
                self.add_error(name, NO_AMOUNT)
        if not self.errors:
            self.adding_errors(lambda: checked(**self.rule()))
        return data

    def terms(self) -> Terms:
        """Returns the figures of a form without errors, in minor units."""
        data = self.cleaned_data
        fixed, minimum, maximum = (
            parse_amount(data[name], data["currency"]) if data[name] else None for name in AMOUNTS
        )
        return Terms(basis_points_from(data["percent"]) or 0, fixed or 0, minimum or 0, maximum)

    def rule(self) -> dict[str, Any]:
        names = ("currency", "reason", "from_at")
        return {"terms": self.terms(), **{name: self.cleaned_data[name] for name in names}}

    def rule_before(self) -> FeeRule | None:
        return rule_at(self.cleaned_data["currency"], self.cleaned_data["from_at"] or timezone.now())

    def has_seen(self, before: FeeRule | None) -> bool:
        """Returns whether the fee is still the one that the operator saw on the confirmation page."""
        return bool(self.cleaned_data["seen"] == (before.pk if before else None))

    def save(self, actor: User) -> FeeRule | None:
        rule: FeeRule | None = self.adding_errors(lambda: set_fee(actor=actor, **self.rule()))
        return rule


def basis_points_from(text: str) -> int | None:
    """Returns 150 for `1.5` or `1.5 %`; None for what is no percentage from 0 to 99.99."""
    found = PERCENT.fullmatch(text.strip().removesuffix("%").rstrip())
    return None if found is None else int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
