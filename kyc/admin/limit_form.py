"""The form that sets a limit, in two steps: input, then confirmation."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from django import forms
from django.utils import timezone

from accounts.models import User
from core.console.forms import ServiceForm
from core.money import parse_amount
from kyc.limits import rule_at, set_limit
from kyc.limits.rules import LONGEST_REASON, checked
from kyc.models import LimitKind, LimitRule
from kyc.tiers import TIERS


class LimitForm(ServiceForm):
    field_of = MappingProxyType({"amount_minor": "amount"})

    tier = forms.TypedChoiceField(
        coerce=int, choices=[(tier.number, f"{tier.number}: {tier.name}") for tier in TIERS]
    )
    currency = forms.CharField(max_length=3, min_length=3, help_text="ISO 4217, for example NGN.")
    kind = forms.ChoiceField(choices=LimitKind.choices, label="Limit for")
    amount = forms.CharField(max_length=24, help_text="In the currency's main unit, for example 50,000.")
    valid_from = forms.DateTimeField(
        required=False,
        label="From (UTC)",
        help_text="Empty: from the moment you confirm.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}),
    )
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        help_text="Shown permanently in the limit's history.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).strip().upper()

    def clean(self) -> dict[str, Any]:
        """Adds the errors that `set_limit` would raise, before the operator is asked to confirm."""
        data = self.cleaned_data
        if {"amount", "currency"} <= data.keys():
            data["amount_minor"] = parse_amount(data["amount"], data["currency"])
            if data["amount_minor"] is None:
                self.add_error("amount", "Enter an amount with no more decimals than the currency has.")
        if not self.errors:
            self.adding_errors(lambda: checked(**self.limit()))
        return data

    def limit(self) -> dict[str, Any]:
        names = ("tier", "currency", "kind", "amount_minor", "reason", "valid_from")
        return {name: self.cleaned_data[name] for name in names}

    def rule_before(self) -> LimitRule | None:
        data = self.cleaned_data
        return rule_at(
            tier=data["tier"],
            currency=data["currency"],
            kind=LimitKind(data["kind"]),
            at=data["valid_from"] or timezone.now(),
        )

    def has_seen(self, before: LimitRule | None) -> bool:
        """Returns whether the limit is still the one that the operator saw on the confirmation page."""
        return bool(self.cleaned_data["seen"] == (before.pk if before else None))

    def save(self, actor: User) -> LimitRule | None:
        rule: LimitRule | None = self.adding_errors(lambda: set_limit(actor=actor, **self.limit()))
        return rule
