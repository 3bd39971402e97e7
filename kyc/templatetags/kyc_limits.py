"""Amounts and days of limits, for templates."""

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
    """`NGN 50,000`."""
    return format_amount(rule.amount_minor, rule.currency)


@register.filter
def money_in(amount_minor: int, currency: str) -> str:
    return format_amount(amount_minor, currency)


@register.filter
def day(moment: datetime) -> SafeString:
    """`1 Jan 2024`, with the time of the day unless it is midnight; in UTC."""
    moment = moment.astimezone(UTC)
    time = "" if (moment.hour, moment.minute) == (0, 0) else f", {moment:%H:%M}"
    return display.time_tag(moment, f"{moment.day} {moment:%b %Y}{time}")
