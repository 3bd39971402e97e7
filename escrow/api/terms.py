"""What is agreed to, as the API takes and shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import Field

from escrow.api.schemas import CURRENCY, AmountMinor, Money, Strict, money
from escrow.errors import WrongCurrency, WrongInput
from escrow.escrows import Draft, MilestoneDraft
from escrow.escrows.fees import FeePayer
from escrow.escrows.terms import LONGEST_CRITERIA, LONGEST_INSPECTION_DAYS, MOST_MILESTONES
from escrow.escrows.texts import LONGEST_TEXT, LONGEST_TITLE

Days = Annotated[
    int,
    Field(
        strict=True,
        ge=1,
        le=LONGEST_INSPECTION_DAYS,
        description="How long the buyer may look at a delivery. Then it is released without them.",
        examples=[3],
    ),
]
Currency = Annotated[str, Field(pattern=CURRENCY, description="ISO 4217.", examples=["NGN"])]


class Amount(Strict):
    """A positive amount of money."""

    amount_minor: AmountMinor
    currency: Currency

    def in_currency(self, currency: str, field: str) -> int:
        """Returns the amount. Raises WrongCurrency if it is in another currency."""
        if self.currency != currency:
            raise WrongCurrency(f"Use {currency}, the currency of the escrow.", f"{field}.currency")
        return self.amount_minor


class MilestoneWanted(Strict):
    title: str = Field(min_length=1, max_length=LONGEST_TITLE, examples=["Design"])
    criteria: str = Field(
        "",
        max_length=LONGEST_CRITERIA,
        description="When it counts as delivered.",
        examples=["Three drafts."],
    )
    amount: Amount


class TermsWanted(Strict):
    title: str = Field(min_length=1, max_length=LONGEST_TITLE, examples=["A logo for a bakery"])
    terms: str = Field("", max_length=LONGEST_TEXT, examples=["Files as SVG. Two rounds of changes."])
    milestones: list[MilestoneWanted] = Field(min_length=1, max_length=MOST_MILESTONES)
    fee_payer: FeePayer = Field(FeePayer.BUYER, description="Who pays Amani's fee; `split`: half each.")
    inspection_days: Days = 3

    def draft(self, currency: str) -> Draft:
        """Returns what the services take. Raises WrongCurrency for an amount in another currency."""
        milestones = [
            MilestoneDraft(
                wanted.title,
                wanted.amount.in_currency(currency, f"milestones.{place}.amount"),
                wanted.criteria,
            )
            for place, wanted in enumerate(self.milestones)
        ]
        return Draft(self.title, milestones, self.terms, self.fee_payer, self.inspection_days)


class MilestoneTerms(Strict):
    title: str
    criteria: str
    amount: Money
    buyer_fee: Money = Field(description="What the buyer pays on top.")
    seller_fee: Money = Field(description="What the seller gets less.")


class TermsShown(Strict):
    number: int = Field(description="Counts the versions of the terms, from 1.")
    hash: str = Field(description="Agree to it: SHA-256 of all that is agreed.", pattern="^[0-9a-f]{64}$")
    proposed_by: str = Field(description="`buyer` or `seller`, who has agreed by proposing.")
    title: str
    terms: str
    fee_payer: FeePayer
    inspection_days: int
    milestones: list[MilestoneTerms]
    amount: Money = Field(description="All milestones.")
    fee: Money = Field(description="Amani's, part of what is agreed.")
    buyer_pays: Money
    seller_gets: Money


def terms_shown(document: dict[str, Any], *, number: int, hash_: str, proposed_by: str) -> TermsShown:
    currency = document["currency"]
    return TermsShown(
        number=number,
        hash=hash_,
        proposed_by=proposed_by,
        title=document["title"],
        terms=document["terms"],
        fee_payer=FeePayer(document["fee_payer"]),
        inspection_days=document["inspection_days"],
        milestones=[milestone_terms(milestone, currency) for milestone in document["milestones"]],
        amount=money(document["amount_minor"], currency),
        fee=money(document["fee_minor"], currency),
        buyer_pays=money(document["due_minor"], currency),
        seller_gets=money(document["seller_gets_minor"], currency),
    )


def milestone_terms(milestone: dict[str, Any], currency: str) -> MilestoneTerms:
    return MilestoneTerms(
        title=milestone["title"],
        criteria=milestone["criteria"],
        amount=money(milestone["amount_minor"], currency),
        buyer_fee=money(milestone["buyer_fee_minor"], currency),
        seller_fee=money(milestone["seller_fee_minor"], currency),
    )


@contextmanager
def amounts_as_sent() -> Iterator[None]:
    """Names an amount as the caller wrote it: services know `amount_minor`, the body has `amount`."""
    try:
        yield
    except WrongInput as error:
        error.fields = {as_sent(name): texts for name, texts in error.fields.items()}
        raise


def as_sent(name: str) -> str:
    is_amount = name.endswith("amount_minor")
    return f"{name.removesuffix('amount_minor')}amount.amount_minor" if is_amount else name
