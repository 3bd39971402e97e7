"""Who checks a case before people do: what is asked of providers, and what their answers mean.

Cases use only these two, inside their own transactions. Everything else begins with a task (work.py) or a
callback (webhook.py).
"""

from kyc.providers.outbox import cancel_checks, plan_check

__all__ = ["cancel_checks", "plan_check"]
