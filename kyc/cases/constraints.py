"""Maps violated database constraints to this app's errors; the only module that uses their names."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from core.constraints import constraints_as
from core.errors import AmaniError
from kyc.errors import CaseOpen, NotInThisState, OwnCase

ERRORS: dict[str, Callable[[], AmaniError]] = {
    "one_open_case_per_person": CaseOpen,
    "nobody_decides_on_their_own_case": OwnCase,
    "nobody_reviews_their_own_case": OwnCase,
    "one_approval_per_person_and_document_type": lambda: NotInThisState("approved", "approve"),
}


def constraints_named() -> AbstractContextManager[None]:
    """Raises this app's error for a violated constraint; must be outside the transaction."""
    return constraints_as(ERRORS)
