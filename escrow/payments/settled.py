"""Asks about payouts some times after they were settled, because their money can still come back.

Providers report that by a webhook, which can be lost. The answer is recorded as for any other payout: money
that came back is booked, another end than the booked one is a contradiction.
"""

from __future__ import annotations

from itertools import islice

from core.leases import claims_within
from escrow.payments.claim import claim_settled
from escrow.payments.faults import set_aside_on_a_fault
from escrow.payments.work import LONGEST_RUN_SECONDS, attempt

MOST_A_RUN = 60  # beat runs it each minute, so a provider gets about one of these questions a second


def run_settled() -> int:
    """Asks about the settled payouts that are due, up to MOST_A_RUN; returns how many."""
    asked = 0
    for claimed in islice(claims_within(LONGEST_RUN_SECONDS, claim_settled), MOST_A_RUN):
        with set_aside_on_a_fault(claimed):
            attempt(claimed)
        asked += 1
    return asked
