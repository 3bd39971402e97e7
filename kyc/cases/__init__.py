"""The services of cases: functions that change the state of a case.

Other modules call these functions; each is one transaction that locks first. `states.py` has the transition
table, `transitions.py` applies a transition, `selectors.py` has the queries.
"""

from kyc.cases.services import (
    approve,
    ask_for_more,
    claim,
    decide_by_provider,
    doubt_by_provider,
    expire_due,
    expire_if_due,
    lapse_claims,
    lapse_if_due,
    reject,
    release,
    resubmit,
    revoke,
    revoke_by_provider,
    submit,
    uphold,
    withdraw,
)

__all__ = [
    "approve",
    "ask_for_more",
    "claim",
    "decide_by_provider",
    "doubt_by_provider",
    "expire_due",
    "expire_if_due",
    "lapse_claims",
    "lapse_if_due",
    "reject",
    "release",
    "resubmit",
    "revoke",
    "revoke_by_provider",
    "submit",
    "uphold",
    "withdraw",
]
