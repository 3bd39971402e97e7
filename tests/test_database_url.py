"""DATABASE_URL as libpq reads it: several hosts, IPv6, a socket's folder, options; and what is refused."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection as default
from django.db.backends.postgresql.base import DatabaseWrapper

from amani.database_url import EXAMPLE, read_database_url
from local.ports import find_free_port
from local.services import PrivatePostgres
from observability.telemetry import health
from observability.telemetry.database_hosts import Hosts
from observability.tests.waiting import wait_until
from tests.test_settings import manage, production_example

NAMES = ("database", "migrations", "worker")


def named(**values: str) -> dict[str, Any]:
    """Django's settings with `values`; lower-case names are options."""
    options = {name: value for name, value in values.items() if name.islower()}
    blank = dict.fromkeys(("NAME", "USER", "PASSWORD", "HOST", "PORT"), "")
    upper = {name: value for name, value in values.items() if name.isupper()}
    return blank | upper | {"OPTIONS": {"connect_timeout": "5", "application_name": "amani"} | options}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://u:p@h1:5432,h2:5433/db?target_session_attrs=read-write&connect_timeout=3",
            named(
                NAME="db",
                USER="u",
                PASSWORD="p",
                HOST="h1,h2",
                PORT="5432,5433",
                target_session_attrs="read-write",
                connect_timeout="3",
            ),
        ),
        (
            "postgres://u@[::1]:5432,[fe80::1]/db",
            named(NAME="db", USER="u", HOST="::1,fe80::1", PORT="5432,"),
        ),
        (
            "postgresql://u@%2Fvar%2Frun%2Fpostgresql/db",
            named(NAME="db", USER="u", HOST="/var/run/postgresql"),
        ),
        ("postgresql:///db?host=/var/run/postgresql", named(NAME="db", HOST="/var/run/postgresql")),
        (
            "postgresql://u:a%40b%2Fc%3Ad%25e%3Ff%23g@h/db",
            named(NAME="db", USER="u", PASSWORD="a@b/c:d%e?f#g", HOST="h"),
        ),
        (
            "postgresql://h/db?options=-c%20statement_timeout%3D5s&sslmode=verify-full&application_name=other",
            named(
                NAME="db",
                HOST="h",
                options="-c statement_timeout=5s",
                sslmode="verify-full",
                application_name="other",
            ),
        ),
    ],
)
def test_an_address_means_what_it_means_to_psql(url: str, expected: dict[str, Any]) -> None:
    assert read_database_url(url) == expected


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (
            "mysql://u:planted@h/db",
            "the scheme is 'mysql', must be postgresql://user:password@host:port/name",
        ),
        ("u:planted@h/db", "it has no scheme, must be postgresql://user:password@host:port/name"),
        ("postgresql://u:planted@h", "the name of the database is missing, must end in /name"),
        ("postgresql://u:planted@h/", "the name of the database is missing, must end in /name"),
        ("postgresql://u:planted@h:port/db", "a port is not a number from 1 to 65535"),
        ("postgresql://u:planted@h:70000/db", "a port is not a number from 1 to 65535"),
        ("postgresql://u:planted@h1:5432,h2:0/db", "a port is not a number from 1 to 65535"),
        ("postgresql://u:planted%zz@h/db", "a percent-encoding in it is invalid. Write % itself as %25"),
        ("postgresql://u:planted%00@h/db", "a percent-encoding in it is invalid. Write % itself as %25"),
        ("postgresql://u:planted%ff@h/db", "its percent-encoded characters are not UTF-8"),
        (
            "postgresql://u:planted/x@h/db",
            "it has a misplaced @. In user and password write / as %2F",
        ),
        (
            "postgresql://u:planted?x@h/db",
            "it has a misplaced @. In user and password write / as %2F",
        ),
        (
            "postgresql://u:planted@x@h/db",
            "it has a misplaced @. In user and password write / as %2F",
        ),
        ("postgresql://u:planted@[::1/db", "an IPv6 address in it is malformed, must be [address]:port"),
        ("postgresql://u:planted@[::1]5432/db", "an IPv6 address in it is malformed, must be [address]:port"),
        (
            "postgresql://u:planted@h/db?timeout=3",
            "'timeout' is not a parameter of PostgreSQL's client library",
        ),
        ("postgresql://u:planted@h/db?sslmode", "the parameter 'sslmode' must be sslmode=value"),
        (
            "postgresql://u:planted@h/db?options=-c%20work_mem=1MB",
            "the parameter 'options' must be options=value; write = in the value as %3D",
        ),
        ("postgresql://u:planted@h/db?sslmode=maybe", 'invalid sslmode value: "maybe"'),
        (
            "postgresql://u:planted@h/db?target_session_attrs=writable",
            'invalid target_session_attrs value: "writable"',
        ),
        ("postgresql://u:planted@h/db?connect_timeout=3s", "connect_timeout is '3s', must be a whole number"),
        ("postgresql://u:planted@h1,h2/db?port=1,2,3", "could not match 3 port numbers to 2 hosts"),
        ("postgresql://u:planted@h/db?hostaddr=127.0.0.1,::1", "could not match 1 host names to 2 hostaddr"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_what_is_wrong_and_an_example(
    url: str, problem: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        read_database_url(url)
    message = str(caught.value)
    assert message.startswith(f"DATABASE_URL: {problem}")
    assert message.endswith(f"Example: {EXAMPLE}")
    assert "planted" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "url", "problem"),
    [
        ("DATABASE_URL", "postgresql://u:planted@h", "DATABASE_URL: the name of the database is missing"),
        ("REDIS_URL", "rediss://:planted@h?ssl_cert_reqs=yes", "REDIS_URL: ssl_cert_reqs is 'yes', must be"),
    ],
)
def test_a_process_refuses_to_start_and_shows_no_password(
    name: str, url: str, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    file.write_text(f"{url}\n")
    environment = production_example() | {f"{name}_FILE": str(file)}
    del environment[name]
    result = manage("check", **environment)
    assert result.returncode != 0
    assert problem in result.stderr.splitlines()[-1]
    assert "planted" not in result.stderr


class Pair:
    """Two PostgreSQL servers with one password: `first` lets nobody write, `second` does."""

    def __init__(self, folder: Path) -> None:
        self.first = PrivatePostgres(folder / "first", find_free_port(), durable=False)
        self.second = PrivatePostgres(folder / "second", find_free_port(), durable=False)
        self.second.password = self.first.password
        for server in (self.first, self.second):
            server.start()
        with psycopg.connect(self.first.superuser_url, autocommit=True) as connection:
            connection.execute("ALTER DATABASE amani SET default_transaction_read_only = on")

    def url(self, first: int, query: str = "") -> str:
        """The port `first` of this machine, then the second server."""
        hosts = f"127.0.0.1:{first},127.0.0.1:{self.second.port}"
        return f"postgresql://amani:{self.first.password}@{hosts}/amani?connect_timeout=3{query}"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    folder = Path(tempfile.mkdtemp(prefix="amani-pair-"))
    folder.chmod(0o755)  # PostgreSQL may run as another user
    servers = Pair(folder)
    yield servers
    servers.first.remove()
    servers.second.remove()
    shutil.rmtree(folder)


def django_connection(url: str) -> DatabaseWrapper:
    return DatabaseWrapper({**default.settings_dict, **read_database_url(url)}, alias="pair")


def port_reached(url: str) -> int:
    connection = django_connection(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT inet_server_port()")
            port: int = cursor.fetchone()[0]
    finally:
        connection.close()
    return port


@pytest.mark.django_db
def test_django_goes_on_to_the_second_host_when_the_first_refuses(pair: Pair) -> None:
    assert port_reached(pair.url(find_free_port())) == pair.second.port


@pytest.mark.django_db
def test_read_write_skips_a_server_that_lets_nobody_write(pair: Pair) -> None:
    assert port_reached(pair.url(pair.first.port)) == pair.first.port
    query = "&target_session_attrs=read-write"
    assert port_reached(pair.url(pair.first.port, query)) == pair.second.port


def test_commands_take_several_hosts_from_a_file(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(pair.url(pair.first.port, "&target_session_attrs=read-write") + "\n")
    environment = production_example() | {"DATABASE_URL_FILE": str(file)}
    del environment["DATABASE_URL"]
    code = "from django.db import connection as c; c.connect(); print(c.connection.info.port)"
    result = manage("shell", "--no-imports", "-c", code, **environment)
    assert result.stdout.strip() == str(pair.second.port), result.stderr


@pytest.fixture
def use_database(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`use_database(url)`: health asks what Django would, and remembers no host."""

    def use(url: str) -> None:
        monkeypatch.setattr(health, "connections", {"default": django_connection(url)})
        monkeypatch.setattr(health, "database_hosts", Hosts())
        monkeypatch.setattr(health, "database_probe", health.Probe(NAMES, health.ask_database))

    return use


def database_check() -> str:
    return health.run_checks(health.database_probe)["database"].status


@pytest.mark.parametrize("query", ["", "&target_session_attrs=read-write"])
def test_health_goes_on_to_the_second_host_when_the_first_refuses(
    query: str, pair: Pair, use_database: Callable[[str], None]
) -> None:
    use_database(pair.url(find_free_port(), query))
    assert wait_until(lambda: database_check() == "ok")
    assert health.database_hosts.served == ("127.0.0.1", str(pair.second.port))


def test_health_is_late_only_once_when_the_first_host_hangs(
    pair: Pair, use_database: Callable[[str], None]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # takes connections, says nothing
        use_database(pair.url(hanging.getsockname()[1]))
        assert database_check() == "error"
        assert wait_until(lambda: database_check() == "ok")
        assert health.database_hosts.served == ("127.0.0.1", str(pair.second.port))
        ports = f"{hanging.getsockname()[1]},{pair.second.port}"
        next_time = health.database_hosts.in_order({"host": "127.0.0.1,127.0.0.1", "port": ports})
        assert next_time["port"] == f"{pair.second.port},{hanging.getsockname()[1]}"
