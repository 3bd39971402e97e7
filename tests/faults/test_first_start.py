"""Two instances start for the first time, at once, on one empty database."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from local.services import PrivatePostgres, PrivateValkey
from observability.tests.waiting import wait_until
from tests.installation import Installation, all_at_once, run_migrate

pytestmark = [pytest.mark.faults, pytest.mark.processes]


@pytest.fixture
def empty_database(own_postgres: PrivatePostgres) -> Iterator[str]:
    own_postgres.start()
    with psycopg.connect(own_postgres.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE first_start OWNER amani")
        yield "first_start"
        connection.execute("DROP DATABASE first_start WITH (FORCE)")


def test_both_migrate_and_both_serve(
    empty_database: str, own_postgres: PrivatePostgres, own_valkey: PrivateValkey, tmp_path: Path
) -> None:
    instances = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        instances.append(Installation(folder, own_postgres, own_valkey, empty_database))

    migrations = all_at_once(partial(run_migrate, one) for one in instances)
    assert [done.returncode for done in migrations] == [0, 0], [done.stderr for done in migrations]
    applied = instances[0].rows("SELECT app, name FROM django_migrations")
    assert len(applied) == len(set(applied)) > 0
    assert sum("No migrations to apply" in done.stdout for done in migrations) == 1

    try:
        for one in instances:
            one.web.start()
        for one in instances:
            assert wait_until(one.serves), one.log("web")
    finally:
        for one in instances:
            one.stop()
