"""What is answered when two requests claim the same case, image, limit or check at the same instant."""

from __future__ import annotations

from core import constraints
from core.constraints import AGAIN, taken
from kyc.cases.constraints import ERRORS


def register() -> None:
    constraints.register(ERRORS)
    constraints.register(
        {
            "one_current_image_per_side": taken(
                "Another image of this side was stored at this moment. Look at the case, then send it again."
            ),
            "one_limit_per_moment": taken(
                "Another operator set this limit for the same moment. Look at it, then set it again."
            ),
            "one_usage_per_window": AGAIN,
            "one_running_check_per_case": taken(
                "A check of this case is running already. Wait for its result."
            ),
            "a_callback_is_stored_once": taken("This callback is stored already."),
            "kyc_caseeventtext_pkey": AGAIN,
            # Random numbers: the next try makes another one.
            "kyc_case_public_id_key": AGAIN,
            "kyc_document_public_id_key": AGAIN,
            "kyc_document_stored_as_key": AGAIN,
            "kyc_check_reference_key": AGAIN,
        }
    )
