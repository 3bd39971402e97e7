"""What several routes of escrow take and show: money, amounts, pages."""

from __future__ import annotations

from typing import Annotated

from ninja import Query, Schema
from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, WithJsonSchema

from core.api.cursors import LONGEST_CURSOR
from escrow.models.ledger import MOST_MINOR
from escrow.states import Event, State

MOST_ROWS = 100  # of a page
CURRENCY = "^[A-Z]{3}$"

Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="How many rows a page has.")]
Cursor = Annotated[
    str | None,
    Query(max_length=LONGEST_CURSOR, description="`next` of the page before; without it the first page."),
]
# Strict: 1.5, "1" and true are refused, and not rounded or read as a number.
AmountMinor = Annotated[
    int,
    Field(
        strict=True,
        ge=1,
        le=MOST_MINOR // 2,
        description="In the currency's smallest unit, for example kobo.",
        examples=[150_000],
    ),
]


def refuse_number(text: object) -> object:
    """Raises ValueError for `1767225600`, which pydantic would read as a Unix time."""
    if not isinstance(text, str) or "T" not in text.upper():
        raise ValueError("Use RFC 3339, for example 2026-01-31T12:00:00Z.")
    return text


# Without a name in the OpenAPI document, where KYC has a State and an Event, too.
EscrowState = Annotated[State, WithJsonSchema({"type": "string", "enum": State.values})]
EscrowStep = Annotated[Event, WithJsonSchema({"type": "string", "enum": [event.value for event in Event]})]
Moment = Annotated[AwareDatetime, BeforeValidator(refuse_number)]


class Strict(Schema):
    """Refuses fields that it does not know."""

    model_config = ConfigDict(extra="forbid")


class Money(Strict):
    amount_minor: int = Field(description="In the currency's smallest unit: kobo, cent.", examples=[150_000])
    currency: str = Field(description="ISO 4217.", pattern=CURRENCY, examples=["NGN"])


def money(amount_minor: int, currency: str) -> Money:
    return Money(amount_minor=amount_minor, currency=currency)
