"""Makes the document that both parties agree to, and its hash.

    {"escrow": "<public id>", "number": 1, "title": …, "terms": …, "currency": "NGN", "fee_payer": "buyer",
     "inspection_days": 3, "milestones": [{"title", "criteria", "amount_minor", "buyer_fee_minor",
     "seller_fee_minor"}, …], "amount_minor": …, "fee_minor": …, "due_minor": …, "seller_gets_minor": …}

The hash is SHA-256 of its canonical form: JSON with sorted keys, without spaces, in UTF-8. All numbers are
integers, so there is one way to write each. The fees are computed and part of it: both see them first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from core.money import CURRENCIES, format_amount
from escrow.errors import AmountBelowFee, WrongAmount, WrongCurrency, WrongInput
from escrow.escrows import fee_rules, fees
from escrow.escrows.fees import FeePayer
from escrow.escrows.texts import text_from, title_from
from escrow.models.ledger import MOST_MINOR

MOST_MILESTONES = 50
MOST_VERSIONS = 200  # each is kept for ever
LONGEST_INSPECTION_DAYS = 90
LONGEST_CRITERIA = 4_000


class MilestoneDraft(NamedTuple):
    """What a person writes about a milestone. `amount_minor` is in the currency's smallest unit."""

    title: str
    amount_minor: int
    criteria: str = ""


class Draft(NamedTuple):
    """What a person writes of the terms; nothing of it is checked yet."""

    title: str
    milestones: Sequence[MilestoneDraft]
    terms: str = ""
    fee_payer: str = FeePayer.BUYER
    inspection_days: int = 3


def document_of(draft: Draft, *, escrow_id: str, number: int, currency: str, at: datetime) -> dict[str, Any]:
    """Returns the checked document with its fees. Raises a WrongInput that names the field."""
    payer = payer_from(draft.fee_payer)
    milestones = [checked(milestone, place) for place, milestone in enumerate(draft.milestones)]
    refuse_wrong_number(milestones)
    amounts = [milestone["amount_minor"] for milestone in milestones]
    parts = parts_for(amounts, currency, payer, at)
    for milestone, buyer, seller in zip(milestones, parts.buyer, parts.seller, strict=True):
        milestone |= {"buyer_fee_minor": buyer, "seller_fee_minor": seller}
    return {
        "escrow": escrow_id,
        "number": number,
        "title": title_from(draft.title, "title"),
        "terms": text_from(draft.terms, "terms"),
        "currency": currency,
        "fee_payer": payer.value,
        "inspection_days": days_from(draft.inspection_days),
        "milestones": milestones,
        "amount_minor": sum(amounts),
        "fee_minor": parts.total_minor,
        "due_minor": sum(amounts) + sum(parts.buyer),
        "seller_gets_minor": sum(amounts) - sum(parts.seller),
    }


def canonical(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def hash_of(document: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(document)).hexdigest()


def payer_from(text: str) -> FeePayer:
    try:
        return FeePayer(text)
    except ValueError:
        raise WrongInput(f"Use one of {', '.join(FeePayer)}.", "fee_payer") from None


def days_from(days: int) -> int:
    if not is_integer(days) or not 1 <= days <= LONGEST_INSPECTION_DAYS:
        raise WrongInput(f"Use 1 to {LONGEST_INSPECTION_DAYS} days.", "inspection_days")
    return days


def checked(milestone: MilestoneDraft, place: int) -> dict[str, Any]:
    field = f"milestones.{place}"
    return {
        "title": title_from(milestone.title, f"{field}.title"),
        "criteria": text_from(milestone.criteria, f"{field}.criteria", longest=LONGEST_CRITERIA),
        "amount_minor": amount_from(milestone.amount_minor, f"{field}.amount_minor"),
    }


def refuse_wrong_number(milestones: Sequence[dict[str, Any]]) -> None:
    if not 1 <= len(milestones) <= MOST_MILESTONES:
        raise WrongInput(f"An escrow has 1 to {MOST_MILESTONES} milestones.", "milestones")
    if sum(milestone["amount_minor"] for milestone in milestones) > MOST_MINOR // 2:
        raise WrongAmount("The milestones add up to more than Amani can hold.", "milestones")


def amount_from(amount_minor: object, field: str) -> int:
    """Returns the amount. Raises WrongAmount unless it is a whole number of minor units above 0."""
    if not isinstance(amount_minor, int) or isinstance(amount_minor, bool):
        raise WrongAmount("Use a whole number of the currency's smallest unit.", field)
    if amount_minor <= 0:
        raise WrongAmount("The amount must be above 0.", field)
    if amount_minor > MOST_MINOR // 2:
        raise WrongAmount("The amount is more than Amani can hold.", field)
    return amount_minor


def is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def parts_for(amounts: Sequence[int], currency: str, payer: FeePayer, at: datetime) -> fees.Parts:
    """Returns the fees by the rule of that time. Raises WrongCurrency without a rule, AmountBelowFee."""
    rule = fee_rules.rule_at(currency, at)
    if rule is None:
        raise WrongCurrency(f"{currency} cannot be used: Amani has no fee for it.", "currency")
    fee = fees.fee_for(sum(amounts), fee_rules.terms_of(rule))
    if fee >= sum(amounts):
        raise AmountBelowFee(
            f"The fee is {format_amount(fee, currency)}: the amounts have to add up to more.", "milestones"
        )
    return fees.parts_of(amounts, fee, payer)


def currency_from(text: str) -> str:
    """Returns the code. Raises WrongCurrency unless it is one of ISO 4217."""
    if text not in CURRENCIES:
        raise WrongCurrency("Use an ISO 4217 code, for example NGN.", "currency")
    return text


def draft_of(document: dict[str, Any]) -> Draft:
    """Returns what a person wrote of a document."""
    milestones = [
        MilestoneDraft(milestone["title"], milestone["amount_minor"], milestone["criteria"])
        for milestone in document["milestones"]
    ]
    return Draft(
        document["title"], milestones, document["terms"], document["fee_payer"], document["inspection_days"]
    )
