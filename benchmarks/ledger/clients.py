"""One client that posts for some seconds: `python -m benchmarks.ledger.clients WAY NUMBER SECONDS`.

It prints "ready", waits for a line, posts, and prints how many postings it made and its slowest percent.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count

from benchmarks.figures import p50_p99

ACCOUNTS = 5_000
Post = Callable[[int], object]


def main() -> None:
    way, number, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    post = WAYS[way](number)
    for attempt in range(20):  # connections and plans
        post(-1 - attempt)
    print("ready", flush=True)
    sys.stdin.readline()
    times = []
    began = last = time.perf_counter()
    for attempt in count():
        post(attempt)
        now = time.perf_counter()
        times.append(now - last)
        last = now
        if now - began > seconds:
            break
    print(json.dumps({"rate": len(times) / (last - began), "p99_ms": p50_p99(times)[1]}), flush=True)


def two_accounts(source: random.Random) -> tuple[int, int]:
    first, second = source.sample(range(ACCOUNTS), 2)
    return first, second


def bare(number: int) -> Post:
    """psycopg calls the SQL function, with nothing in between."""
    set_up()
    import psycopg

    from escrow.ledger.posting import CALL

    connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    source, run = random.Random(number), f"{os.getpid()}"  # noqa: S311  (repeatable, no secret)

    def post(attempt: int) -> object:
        first, second = two_accounts(source)
        arguments = (
            "correction", f"{run}:{attempt}", ["escrow_held", "escrow_held"], [str(first), str(second)],
            ["NGN", "NGN"], [-1, 1], None, None, None, "", None, None, datetime.now(UTC), "",
        )  # fmt: skip
        return connection.execute(CALL, arguments).fetchone()

    return post


def python(number: int) -> Post:
    """The function that Amani calls."""
    set_up()
    from escrow.ledger import Leg, TransferKind, held, post

    source, run = random.Random(number), f"{os.getpid()}"  # noqa: S311  (repeatable, no secret)

    def one(attempt: int) -> object:
        first, second = two_accounts(source)
        legs = (Leg(held(first, "NGN"), -1), Leg(held(second, "NGN"), 1))
        return post(kind=TransferKind.CORRECTION, key=f"{run}:{attempt}", legs=legs)

    return one


def fees(number: int) -> Post:
    """All clients pay into one account of the house."""
    set_up()
    from escrow.ledger import Leg, TransferKind, held, platform_fee, post

    source, run = random.Random(number), f"{os.getpid()}"  # noqa: S311  (repeatable, no secret)

    def one(attempt: int) -> object:
        legs = (Leg(held(source.randrange(ACCOUNTS), "NGN"), -1), Leg(platform_fee("NGN"), 1))
        return post(kind=TransferKind.CORRECTION, key=f"{run}:{attempt}", legs=legs)

    return one


def again(number: int) -> Post:
    """The key was posted before."""
    set_up()
    from escrow.ledger import Leg, TransferKind, held, post

    legs = (Leg(held(number, "NGN"), -1), Leg(held(number + 100, "NGN"), 1))
    key = f"again:{os.getpid()}"
    return lambda _attempt: post(kind=TransferKind.CORRECTION, key=key, legs=legs)


def set_up() -> None:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "amani.settings"
    django.setup()


WAYS: dict[str, Callable[[int], Post]] = {"bare": bare, "python": python, "fees": fees, "again": again}

if __name__ == "__main__":
    main()
