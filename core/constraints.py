"""Turns what a named constraint of the database refuses into an error of the domain.

One table for each app, one place that knows constraints by their names. How an app uses it:

    ERRORS = {"one_open_dispute_per_milestone": DisputeOpen}
    with constraints_as(ERRORS), transaction.atomic():
        Dispute.objects.create(...)  # raises DisputeOpen

Two people may claim one thing at the same instant, after both were told that it is free. So every unique
constraint has an answer (a test finds those without): `register(ERRORS)` in the app's `ready()`. A violation
that no service expected is then answered with it, and not as a failure of Amani.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from django.db import IntegrityError
from psycopg import errors as postgres

from core.errors import AmaniError, Conflict

Errors = Mapping[str, Callable[[], AmaniError]]
answers: dict[str, Callable[[], AmaniError]] = {}


class Taken(Conflict):
    """Another request did the same at this moment."""

    code = "taken"


def register(errors: Errors) -> None:
    """Adds an app's errors by the names of their constraints; to be called in its `ready()`."""
    answers.update(errors)


def taken(message: str) -> Callable[[], AmaniError]:
    """Returns what makes a Taken with this message, for constraints that need no error of their own."""
    return partial(Taken, message)


# For constraints of which the user need not know more.
AGAIN = taken("Another request did the same at this moment. Look at what is there now, then try again.")


def answer_to(error: BaseException | None) -> AmaniError | None:
    """Returns the registered error, if `error` is the violation of a constraint that has one."""
    make = answers.get(constraint_of(error)) if isinstance(error, IntegrityError) else None
    return make() if make else None


@contextmanager
def constraints_as(errors: Errors) -> Iterator[None]:
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
