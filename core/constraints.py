"""Turns what a named constraint of the database refuses into an error of the domain.

One table for each app, one place that knows constraints by their names. How an app uses it:

    ERRORS = {"one_open_dispute_per_milestone": DisputeOpen}
    with constraints_as(ERRORS), transaction.atomic():
        Dispute.objects.create(...)  # raises DisputeOpen
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from django.db import IntegrityError
from psycopg import errors as postgres

from core.errors import AmaniError


@contextmanager
def constraints_as(errors: Mapping[str, Callable[[], AmaniError]]) -> Iterator[None]:
    """Raises the error that `errors` has for the constraint's name; any other IntegrityError passes.

    Put it around the transaction: after a violation PostgreSQL answers nothing more inside of it.
    """
    try:
        yield
    except IntegrityError as error:
        make = errors.get(constraint_of(error))
        if make is None:
            raise
        raise make() from error


def constraint_of(error: IntegrityError) -> str:
    """Returns the name of the constraint that was violated; "" when PostgreSQL named none."""
    cause = error.__cause__
    return (cause.diag.constraint_name or "") if isinstance(cause, postgres.IntegrityError) else ""
