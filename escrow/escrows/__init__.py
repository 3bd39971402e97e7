"""The services of escrows: functions that change an escrow or a milestone, or move its money.

Other modules call these functions; each is one transaction that locks first. `escrow/states.py` has the
tables, `transitions.py` the locking order, `selectors.py` the queries.
"""

from escrow.escrows.auto_release import auto_release_due
from escrow.escrows.funding import Arrived, money_arrived
from escrow.escrows.invitations import accept_invitation, invite_again
from escrow.escrows.milestones import approve, refund, reject, release_partially, submit
from escrow.escrows.services import (
    agree,
    cancel,
    counter_propose,
    expire_due,
    freeze,
    keep,
    propose,
    propose_draft,
    rewrite_draft,
    save_draft,
    unfreeze,
)
from escrow.escrows.short import end_short
from escrow.escrows.taken_back import money_taken_back
from escrow.escrows.terms import Draft, MilestoneDraft

__all__ = [
    "Arrived",
    "Draft",
    "MilestoneDraft",
    "accept_invitation",
    "agree",
    "approve",
    "auto_release_due",
    "cancel",
    "counter_propose",
    "end_short",
    "expire_due",
    "freeze",
    "invite_again",
    "keep",
    "money_arrived",
    "money_taken_back",
    "propose",
    "propose_draft",
    "refund",
    "reject",
    "release_partially",
    "rewrite_draft",
    "save_draft",
    "submit",
    "unfreeze",
]
