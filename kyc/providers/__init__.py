"""Checks cases with external providers before reviewers do.

Cases call only these two functions, inside their own transactions. Everything else starts with a task
(work.py) or a callback (webhook.py).
"""

from kyc.providers.outbox import cancel_checks, plan_check

__all__ = ["cancel_checks", "plan_check"]
