"""Template filters for amounts, badges and names of accounts."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from core.console import display
from core.console.display import Badge
from core.money import format_amount
from escrow.badges import (
    OUTCOME_TONES,
    account_words,
    payment_event_badge,
    payment_provider,
    transfer_badge,
)
from escrow.escrows.fee_rules import terms_of
from escrow.escrows.fees import Terms
from escrow.fee_texts import in_words
from escrow.models import FeeRule, LedgerAccount

register = template.Library()

MINUS = "\N{MINUS SIGN}"  # as wide as the plus sign


@register.filter
def money(amount_minor: int, currency: str) -> str:
    """Formats an amount, for example `NGN 1,250.50`; a negative one with a minus sign before the amount."""
    return format_amount(amount_minor, currency).replace("-", MINUS)


@register.filter
def signed(amount_minor: int, currency: str) -> str:
    """Formats an entry, for example `+NGN 1,250.50`."""
    sign = MINUS if amount_minor < 0 else "+"
    return f"{sign}{format_amount(abs(amount_minor), currency)}"


@register.filter
def mark(badge: Badge) -> SafeString:
    """Renders a badge."""
    return display.badge(badge.tone, badge.icon, badge.text)


@register.filter
def transfer_mark(kind: str) -> SafeString:
    """Renders the badge of a kind of transfer."""
    return mark(transfer_badge(kind))


@register.filter
def account_name(account: LedgerAccount) -> str:
    """Returns for example `held for escrow 12`."""
    return account_words(account.kind_id, account.owner)


@register.filter
def webhook_mark(state: str) -> SafeString:
    """Renders the badge of a payment provider's webhook."""
    return mark(payment_event_badge(state))


@register.filter
def outcome_tone(outcome: str) -> str:
    """Returns the tone of the outcome of a request to a provider."""
    return OUTCOME_TONES.get(outcome, "quiet")


@register.filter
def took(amount: float) -> str:
    """Formats a duration in seconds, for example `42 ms`."""
    return display.seconds(amount)


@register.filter
def provider_label(name: str) -> str:
    return payment_provider(name)


@register.filter
def fee_words(rule: FeeRule) -> str:
    """Returns for example `1.5 %, at least NGN 100`."""
    return in_words(terms_of(rule), rule.currency)


@register.filter
def terms_words(terms: Terms, currency: str) -> str:
    return in_words(terms, currency)
