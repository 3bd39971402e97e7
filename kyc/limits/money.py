"""Amounts for people: limits are kept in a currency's smallest unit, and shown and typed in its main one."""

from __future__ import annotations

import re
from decimal import Decimal

import pycountry

CURRENCIES = frozenset(currency.alpha_3 for currency in pycountry.currencies)
# ISO 4217's minor units; all others have two.
NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"
DIGITS = dict.fromkeys(NO_DIGITS.split(), 0) | dict.fromkeys(THREE_DIGITS.split(), 3)
AMOUNT = re.compile(r"\d{1,15}(\.\d{1,3})?", re.ASCII)


def digits_of(currency: str) -> int:
    return DIGITS.get(currency, 2)


def shown(amount_minor: int, currency: str) -> str:
    """`NGN 50,000` or `NGN 1,250.50`."""
    digits = digits_of(currency)
    amount = Decimal(amount_minor).scaleb(-digits)
    is_whole = amount == amount.to_integral_value()
    return f"{currency} {amount:,.{0 if is_whole else digits}f}"


def minor_from(text: str, currency: str) -> int | None:
    """What somebody typed, commas and spaces allowed; None if it is no amount of that currency."""
    plain = re.sub(r"[, ]", "", text)
    if not AMOUNT.fullmatch(plain):
        return None
    amount = Decimal(plain).scaleb(digits_of(currency))
    return int(amount) if amount == amount.to_integral_value() else None
