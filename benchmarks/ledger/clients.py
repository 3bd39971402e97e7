"""Clients that post to the ledger and release milestones, driven by rounds.py."""

import os
import random
from datetime import UTC, datetime
from itertools import count

import django
import psycopg

from benchmarks.ledger import releases
from benchmarks.ledger.rounds import Once, serve

ACCOUNTS = 5_000


def two_accounts(source: random.Random) -> tuple[int, int]:
    first, second = source.sample(range(ACCOUNTS), 2)
    return first, second


def bare(number: int) -> Once:
    """psycopg calls the SQL function, with nothing in between."""
    from escrow.ledger.posting import CALL

    connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    source, places = random.Random(number), count()  # noqa: S311  (repeatable, no secret)

    def post() -> object:
        first, second = two_accounts(source)
        arguments = (
            "correction", f"{number}:{next(places)}", ["escrow_held", "escrow_held"],
            [str(first), str(second)], ["NGN", "NGN"], [-1, 1], None, None, None, "", None, None,
            datetime.now(UTC), "",
        )  # fmt: skip
        return connection.execute(CALL, arguments).fetchone()

    return post


def python(number: int) -> Once:
    """The function that Amani calls."""
    from escrow.ledger import Leg, TransferKind, held, post

    source, places = random.Random(number), count()  # noqa: S311  (repeatable, no secret)

    def one() -> object:
        first, second = two_accounts(source)
        legs = (Leg(held(first, "NGN"), -1), Leg(held(second, "NGN"), 1))
        return post(kind=TransferKind.CORRECTION, key=f"{number}:{next(places)}", legs=legs)

    return one


def fees(number: int) -> Once:
    """All clients pay into one account of the house."""
    from escrow.ledger import Leg, TransferKind, held, platform_fee, post

    source, places = random.Random(number), count()  # noqa: S311  (repeatable, no secret)

    def one() -> object:
        legs = (Leg(held(source.randrange(ACCOUNTS), "NGN"), -1), Leg(platform_fee("NGN"), 1))
        return post(kind=TransferKind.CORRECTION, key=f"{number}:{next(places)}", legs=legs)

    return one


def again(number: int) -> Once:
    """The key was posted before."""
    from escrow.ledger import Leg, TransferKind, held, post

    legs = (Leg(held(number, "NGN"), -1), Leg(held(number + 100, "NGN"), 1))
    return lambda: post(kind=TransferKind.CORRECTION, key=f"again:{number}", legs=legs)


WAYS = {
    "bare": bare,
    "python": python,
    "fees": fees,
    "again": again,
    "release": releases.release,
    "raw": releases.raw,
    "orm": releases.orm,
}

if __name__ == "__main__":
    django.setup()
    serve(WAYS)
