"""The private PostgreSQL and Valkey: own password, kill -9, restart with the data."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from local.services import PrivatePostgres, PrivateValkey

StartPostgres = Callable[[], PrivatePostgres]
StartValkey = Callable[[], PrivateValkey]


def test_a_commit_survives_kill_9_of_postgresql(private_postgres: StartPostgres) -> None:
    server = private_postgres()
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept (number integer)")
        connection.execute("INSERT INTO kept VALUES (42)")
    first_pid = server.pid

    server.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url, connect_timeout=2)
    server.start()

    assert server.pid != first_pid
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(42,)]


def test_postgresql_refuses_a_wrong_password(private_postgres: StartPostgres) -> None:
    server = private_postgres()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url.replace(server.password, "guessed"))


def test_a_start_adds_the_role_that_an_older_version_did_not_make(private_postgres: StartPostgres) -> None:
    server = private_postgres()
    with psycopg.connect(server.superuser_url) as connection:
        connection.execute("DROP ROLE amani_app")
    server.stop()
    server.start()
    with psycopg.connect(server.settings()["DATABASE_URL"]) as connection:
        refused = pytest.raises(psycopg.errors.InsufficientPrivilege)
        with refused:
            connection.execute("CREATE TABLE own ()")


def test_the_role_of_the_owner_is_no_superuser(private_postgres: StartPostgres) -> None:
    server = private_postgres()
    with psycopg.connect(server.url) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, current_database() FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False, True, "amani")


def test_the_log_of_postgresql_quotes_neither_rows_nor_statements(private_postgres: StartPostgres) -> None:
    server = private_postgres()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE person (address text PRIMARY KEY, CHECK (address <> 'planted-row'))")
        connection.execute("INSERT INTO person VALUES ('planted-key')")
        with pytest.raises(psycopg.errors.UniqueViolation, match="planted-key"):
            connection.execute("INSERT INTO person VALUES ('planted-key')")
        with pytest.raises(psycopg.errors.CheckViolation, match="planted-row"):
            connection.execute("INSERT INTO person VALUES ('planted-row')")

    log = server.log_file.read_text()
    assert "duplicate key value" in log
    assert "violates check constraint" in log
    assert "planted" not in log


def test_a_removed_postgresql_leaves_no_file(private_postgres: StartPostgres) -> None:
    server = private_postgres()
    server.remove()
    assert not server.data.exists()
    assert not server.folder.exists()


def test_what_valkey_holds_survives_an_orderly_restart(private_valkey: StartValkey) -> None:
    server = private_valkey()
    client = redis.Redis.from_url(server.url)
    client.set("kept", "42")

    server.stop()
    server.start()

    assert client.get("kept") == b"42"
    client.close()


def test_a_killed_valkey_comes_back_on_the_same_port(private_valkey: StartValkey) -> None:
    server = private_valkey()
    url = server.url
    server.kill()
    with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    server.start()
    with redis.Redis.from_url(url) as client:
        assert client.ping() is True


def test_valkey_refuses_whoever_has_no_password(private_valkey: StartValkey) -> None:
    server = private_valkey()
    with redis.Redis(port=server.port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_the_passwords_are_readable_by_their_owner_only(service_folder: Path) -> None:
    server = PrivateValkey(service_folder / "valkey", 1)
    assert (server.folder / "password").stat().st_mode & 0o777 == 0o600
