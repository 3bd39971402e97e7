"""What the database refuses, as this app's errors: the one place that knows constraints by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import IntegrityError
from psycopg import errors as postgres

from core.errors import AmaniError
from kyc.errors import CaseOpen, NotInThisState, OwnCase

ERRORS: dict[str, Callable[[], AmaniError]] = {
    "one_open_case_per_person": CaseOpen,
    "nobody_decides_on_their_own_case": OwnCase,
    "nobody_reviews_their_own_case": OwnCase,
    "one_approval_per_person_and_document_type": lambda: NotInThisState("approved", "approve"),
}


@contextmanager
def constraints_named() -> Iterator[None]:
    """Goes around the transaction: after a violation nothing more can be asked inside it."""
    try:
        yield
    except IntegrityError as error:
        named = ERRORS.get(constraint_of(error))
        if named is None:
            raise
        raise named() from error


def constraint_of(error: IntegrityError) -> str:
    cause = error.__cause__
    return (cause.diag.constraint_name or "") if isinstance(cause, postgres.IntegrityError) else ""
