"""Template filters for amounts and dates of limits."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils.safestring import SafeString

from core.console import display
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


@register.filter
def day(moment: datetime) -> SafeString:
    """Formats a time in UTC, for example `1 Jan 2024`; adds the time of day unless it is midnight."""
    moment = moment.astimezone(UTC)
    time = "" if (moment.hour, moment.minute) == (0, 0) else f", {moment:%H:%M}"
    return display.time_tag(moment, f"{moment.day} {moment:%b %Y}{time}")
