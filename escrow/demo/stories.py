"""The escrows of the demo, and how far each of them gets. Amounts are in kobo.

They fit in what the demo of KYC leaves of its people's limits (kyc/demo/seed.py): Tunde moves millions,
Adaeze NGN 12,500 today, Zainab NGN 50,000.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from kyc.demo.stories import ADAEZE, TUNDE, ZAINAB, Person

NAIRA = 100


class Stage(IntEnum):
    """How far an escrow gets; each stage includes those before it."""

    PROPOSED = 1
    AGREED = 2
    FUNDED = 3
    SUBMITTED = 4  # its first milestone
    RELEASED = 5  # its first milestone
    PAID_OUT = 6
    REFUNDED = 10  # funded, then given back by the seller


class Part(NamedTuple):
    title: str
    amount_minor: int


class Story(NamedTuple):
    """One escrow. `payout`: what the bank does with the payout, an action of local/bank."""

    title: str
    terms: str
    buyer: Person
    seller: Person
    parts: tuple[Part, ...]
    stage: Stage
    payout: str = ""


STORIES = (
    Story(
        "Shelves for a market stall",
        "Two shelves as in the drawing of 3 March, delivered and mounted.",
        ADAEZE,
        TUNDE,
        (Part("Two shelves, mounted", 11_000 * NAIRA),),
        Stage.PAID_OUT,
        payout="confirm",
    ),
    Story(
        "Logo and brand guide",
        "Three drafts, one of them worked out. All rights go to the buyer.",
        TUNDE,
        ZAINAB,
        (Part("Logo and guide as PDF and SVG", 40_000 * NAIRA),),
        Stage.PAID_OUT,
        payout="puzzle",
    ),
    Story(
        "Catering for a wedding, 200 guests",
        "Menu B. The second part is due after the event.",
        TUNDE,
        ADAEZE,
        (Part("Ingredients", 60_000 * NAIRA), Part("The day itself", 40_000 * NAIRA)),
        Stage.SUBMITTED,
    ),
    Story(
        "Repair of a delivery van",
        "New clutch and brakes, with receipts for the parts.",
        TUNDE,
        ADAEZE,
        (Part("Clutch and brakes", 35_000 * NAIRA),),
        Stage.REFUNDED,
    ),
    Story(
        "Second-hand generator, 5 kVA",
        "As seen on 20 November, with the manual and a spare filter.",
        TUNDE,
        ADAEZE,
        (Part("Generator", 75_000 * NAIRA),),
        Stage.AGREED,
    ),
    Story(
        "Translation of a contract",
        "Yoruba to English, certified.",
        ZAINAB,
        ADAEZE,
        (Part("Twelve pages", 18_000 * NAIRA),),
        Stage.PROPOSED,
    ),
)
