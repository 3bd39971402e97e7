"""Money: an integer of a currency's smallest unit and its ISO 4217 code, shown and typed in its main unit.

How an app uses it:

    amount_minor = models.BigIntegerField()      # never a float, never a Decimal
    currency = models.CharField(max_length=3)    # one of CURRENCIES
    format_amount(125_050, "NGN")                # "NGN 1,250.50"
    parse_amount("1,250.50", "NGN")              # 125050; None when it is no amount of that currency
"""

from __future__ import annotations

import re
from decimal import Decimal

import pycountry

CURRENCIES = frozenset(currency.alpha_3 for currency in pycountry.currencies)
# How many digits ISO 4217 gives a currency's smallest unit; all others have two.
NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"
FOUR_DIGITS = "CLF UYW"
EXPONENTS = (
    dict.fromkeys(NO_DIGITS.split(), 0)
    | dict.fromkeys(THREE_DIGITS.split(), 3)
    | dict.fromkeys(FOUR_DIGITS.split(), 4)
)
USUAL_EXPONENT = 2
AMOUNT = re.compile(r"\d{1,15}(\.\d{1,4})?", re.ASCII)


def exponent_of(currency: str) -> int:
    """Returns how many digits follow the point in the currency's main unit: 0, 2, 3 or 4."""
    return EXPONENTS.get(currency, USUAL_EXPONENT)


def format_amount(amount_minor: int, currency: str) -> str:
    """Returns `NGN 50,000` or `NGN 1,250.50`; a whole amount has no digits after the point."""
    digits = exponent_of(currency)
    amount = Decimal(amount_minor).scaleb(-digits)
    is_whole = amount == amount.to_integral_value()
    return f"{currency} {amount:,.{0 if is_whole else digits}f}"


def parse_amount(text: str, currency: str) -> int | None:
    """Returns the amount in minor units; None if `text` is no amount of that currency.

    Commas and spaces are ignored. A sign, an exponent, or more digits than the currency has is no amount.
    """
    plain = re.sub(r"[, ]", "", text)
    if not AMOUNT.fullmatch(plain):
        return None
    amount = Decimal(plain).scaleb(exponent_of(currency))
    return int(amount) if amount == amount.to_integral_value() else None
