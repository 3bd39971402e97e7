"""What is answered when two requests do the same at the same instant, and what the ledger refuses."""

from __future__ import annotations

from core import constraints
from core.constraints import AGAIN
from escrow.escrows.constraints import ERRORS as OF_ESCROWS
from escrow.ledger.errors import ERRORS


def register() -> None:
    constraints.register(ERRORS)
    constraints.register(OF_ESCROWS)
    constraints.register(
        {
            "one_answer_per_idempotency_key": AGAIN,  # the second request waits for the first
            "ledger_account_kind_pkey": AGAIN,
            "ledger_transfer_public_id_key": AGAIN,
            "one_open_stop_per_cause": AGAIN,
            "one_checkpoint_per_kind_and_currency": AGAIN,
            "escrow_ledgerwatch_pkey": AGAIN,
            "a_finding_is_kept_once": AGAIN,
        }
    )
