"""Limits how much money a person may move.

Code that moves money calls `use`, and `give_back` if the move fails.
"""

from kyc.limits.errors import LimitExceeded
from kyc.limits.personal import PersonalLimit, limits_of
from kyc.limits.rules import rule_at, set_limit
from kyc.limits.usage import PAYMENT, give_back, use, use_if_possible

__all__ = [
    "PAYMENT",
    "LimitExceeded",
    "PersonalLimit",
    "give_back",
    "limits_of",
    "rule_at",
    "set_limit",
    "use",
    "use_if_possible",
]
