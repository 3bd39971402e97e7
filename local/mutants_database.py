"""Replaces a fixture of pytest-django in a run of mutants; local/mutants.py adds it to the conftest.py.

Every mutant has a test run of its own, and to look for migrations in each of them would take longer than most
of the tests: the first run makes the database, and the others only connect to it.
"""

from collections.abc import Generator

import psycopg
import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker


def is_made(name: str) -> bool:
    """Returns whether an earlier run made the database of that name, migrations and all."""
    try:
        with psycopg.connect(**connection.get_connection_params() | {"dbname": name}) as made:
            return made.execute("SELECT to_regclass('mutants_database_is_made')").fetchone() != (None,)
    except psycopg.OperationalError:
        return False


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: DjangoDbBlocker) -> Generator[None]:
    with django_db_blocker.unblock():
        name = f"test_{connection.settings_dict['NAME']}"
        if is_made(name):
            connection.close()
            connection.settings_dict["NAME"] = name
        else:
            connection.creation.create_test_db(verbosity=0, autoclobber=True)
            with connection.cursor() as cursor:
                cursor.execute("CREATE TABLE mutants_database_is_made ()")
    yield
    with django_db_blocker.unblock():
        connection.close()
