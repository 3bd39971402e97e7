"""What is answered when two requests do the same at the same instant, and what the ledger refuses."""

from __future__ import annotations

from core import constraints
from core.constraints import AGAIN, taken
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
            "a_user_uses_a_payout_key_once": taken("This key was just used for a payout. Look at it."),
            "a_payment_event_is_stored_once": taken("This webhook is stored already."),
            "a_contradiction_is_noted_once": AGAIN,
            "a_contradiction_of_a_collection_is_noted_once": AGAIN,
            "one_open_collection_per_escrow": taken("A payment for this escrow was just begun. Look at it."),
            "escrow_collection_public_id_key": AGAIN,
            "escrow_collection_reference_key": AGAIN,
            # Random numbers: the next try makes another one.
            "escrow_payout_public_id_key": AGAIN,
            "escrow_payout_reference_key": AGAIN,
        }
    )
