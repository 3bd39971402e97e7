"""Replaces a fixture of pytest-django in a run of mutants; local/mutants.py adds it to the conftest.py.

Every mutant has a test run of its own, and to look for migrations in each of them would take longer than most
of the tests: the first run makes the database, and the others only connect to it.
"""

from collections.abc import Generator
from contextlib import ExitStack

import psycopg
import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from local.flushing import quick_flushes


def is_clean(name: str) -> bool:
    """Returns whether an earlier run made the database of that name, and no run was killed since."""
    try:
        with psycopg.connect(**connection.get_connection_params() | {"dbname": name}) as made:
            return made.execute("SELECT to_regclass('mutants_database_is_clean')").fetchone() != (None,)
    except psycopg.OperationalError:
        return False


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: DjangoDbBlocker) -> Generator[None]:
    with django_db_blocker.unblock():
        name = f"test_{connection.settings_dict['NAME']}"
        if is_clean(name):
            connection.close()
            connection.settings_dict["NAME"] = name
            run("DROP TABLE mutants_database_is_clean")
        else:
            connection.creation.create_test_db(verbosity=0, autoclobber=True)
        stack = ExitStack()
        stack.enter_context(quick_flushes())
    with stack:
        yield
    with django_db_blocker.unblock():
        run("CREATE TABLE mutants_database_is_clean ()")
        connection.close()


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
