"""Template filters for amounts of limits."""

from __future__ import annotations

from django import template

from core.money import format_amount
from kyc.models import LimitRule

register = template.Library()


@register.filter
def money(rule: LimitRule) -> str:
    """Formats a rule's amount, for example `NGN 50,000`."""
    return format_amount(rule.amount_minor, rule.currency)


@register.filter
def money_in(amount_minor: int, currency: str) -> str:
    return format_amount(amount_minor, currency)
