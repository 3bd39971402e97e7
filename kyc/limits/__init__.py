"""How much money a person may move. Who moves money asks `use`; if it did not happen, `give_back`."""

from kyc.limits.errors import LimitExceeded
from kyc.limits.rules import rule_at, set_limit
from kyc.limits.standing import Standing, limits_of
from kyc.limits.usage import PAYMENT, give_back, use

__all__ = ["PAYMENT", "LimitExceeded", "Standing", "give_back", "limits_of", "rule_at", "set_limit", "use"]
