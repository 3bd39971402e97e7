"""How late automatic releases are: some of 100,000 armed milestones fall due, and sweeps run as beat starts
them.

As a program of its own it prints the seconds from due to posted of the slowest percent, and of the slowest.
"""

import json
import os
import time

import django
import psycopg

from benchmarks.ledger.releases import FIRST_ESCROW, FUNDED

DUE, DUE_PER_SECOND = 2_000, 100
SWEEP_SECONDS = 10.0  # as in amani/settings.py
LONGEST_SECONDS = 120.0  # what is not posted then is as late as it is
FIRST = FIRST_ESCROW + FUNDED - DUE  # the last that are funded: no round comes so far
ARM = """
UPDATE escrow_milestone SET auto_release_at = now() + (escrow_id - %(first)s) * interval '1 second' / %(rate)s
 WHERE escrow_id BETWEEN %(first)s AND %(first)s + %(due)s - 1 RETURNING now()
"""
LATENESS = """
SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY late), max(late)
  FROM (SELECT extract(epoch FROM coalesce(e.at, clock_timestamp()) - %(began)s)::float
               - (m.escrow_id - %(first)s)::float / %(rate)s AS late
          FROM escrow_milestone m
          LEFT JOIN escrow_milestoneevent e ON e.milestone_id = m.id AND e.event = 'release'
         WHERE m.escrow_id BETWEEN %(first)s AND %(first)s + %(due)s - 1) r
"""


def main() -> None:
    from escrow.escrows import auto_release_due

    values: dict[str, object] = {"first": FIRST, "rate": DUE_PER_SECOND, "due": DUE}
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        armed = connection.execute(ARM, values).fetchone()
        values["began"] = armed[0] if armed else None
        began, released = time.monotonic(), 0
        while released < DUE and time.monotonic() - began < LONGEST_SECONDS:
            next_at = time.monotonic() + SWEEP_SECONDS
            released += auto_release_due()
            time.sleep(max(next_at - time.monotonic(), 0))
        row = connection.execute(LATENESS, values).fetchone()
    print(json.dumps(row))


if __name__ == "__main__":
    django.setup()
    main()
