"""Parses DATABASE_URL with libpq, so that Amani and psql accept the same URLs.

A URL may have several hosts, IPv6 addresses, the folder of a socket, and every parameter of libpq.
"""

import re
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn

EXAMPLE = "postgresql://user:password@db1:5432,db2:5432/name?target_session_attrs=read-write"
SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,30})://", re.IGNORECASE)
SECONDS_AND_COUNTS = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
# No socket can be here: libpq checks all parameters first, and then fails without using the network.
NOWHERE = "/dev/null"


def refusal(problem: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"DATABASE_URL: {problem}. Example: {EXAMPLE}")


def read_database_url(url: str) -> dict[str, Any]:
    """Returns NAME, USER, PASSWORD, HOST, PORT and OPTIONS of Django's DATABASES.

    Raises ImproperlyConfigured with the problem, without any text that may be part of the password.
    """
    check_shape(url)
    parameters = parsed(url)
    check_values(parameters)
    named = {
        key: parameters.pop(name, "")
        for key, name in (
            ("NAME", "dbname"),
            ("USER", "user"),
            ("PASSWORD", "password"),
            ("HOST", "host"),
            ("PORT", "port"),
        )
    }
    return named | {"OPTIONS": {"connect_timeout": "5", "application_name": "amani"} | parameters}


def check_shape(url: str) -> None:
    if not url.startswith(("postgresql://", "postgres://")):
        found = SCHEME.match(url)
        scheme = f"the scheme is {found[1]!r}" if found else "it has no scheme"
        raise refusal(f"{scheme}, must be postgresql://user:password@host:port/name")
    authority = re.split(r"[/?]", url.partition("://")[2], maxsplit=1)[0]
    if url.count("@") > authority.count("@") or authority.count("@") > 1:
        raise refusal(
            "it has a misplaced @. In user and password write / as %2F, ? as %3F, @ as %40, : as %3A"
        )


def parsed(url: str) -> dict[str, str]:
    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError as error:
        raise refusal(message_without_values(str(error))) from None
    except UnicodeDecodeError:
        raise refusal("its percent-encoded characters are not UTF-8") from None


def message_without_values(message: str) -> str:
    """Returns libpq's error without the quoted values, which may be the password. Names are kept."""
    name = re.search(r'query parameter: "(\w+)"', message)
    if name and message.startswith("invalid"):
        return f"{name[1]!r} is not a parameter of PostgreSQL's client library"
    if name:
        return f"the parameter {name[1]!r} must be {name[1]}=value; write = in the value as %3D, & as %26"
    if "percent-encoded" in message:
        return "a percent-encoding in it is invalid. Write % itself as %25"
    if "IPv6" in message or "expected" in message:
        return "an IPv6 address in it is malformed, must be [address]:port"
    return "PostgreSQL's client library cannot read it"


def check_values(parameters: dict[str, str]) -> None:
    if not parameters.get("dbname"):
        raise refusal("the name of the database is missing, must end in /name")
    if not all(is_port(port) for port in parameters.get("port", "").split(",")):
        raise refusal("a port is not a number from 1 to 65535. In the password write / as %2F, : as %3A")
    for name in SECONDS_AND_COUNTS:
        if not re.fullmatch(r"-?[0-9]{1,9}", parameters.get(name, "0")):
            raise refusal(f"{name} is {parameters[name]!r}, must be a whole number")
    problem = refused_by_libpq(parameters)
    if problem:
        raise refusal(problem)


def is_port(text: str) -> bool:
    """Returns whether `text` is a port; an empty one means PostgreSQL's default."""
    return not text or bool(re.fullmatch(r"[0-9]{1,5}", text) and 1 <= int(text) <= 65535)


def refused_by_libpq(parameters: dict[str, str]) -> str:
    """Returns libpq's error about the parameters of a connection, or an empty string."""
    hosts = ",".join(NOWHERE for _ in parameters.get("host", "").split(","))
    tried = {**parameters, "host": hosts}
    if "hostaddr" in parameters:
        tried["hostaddr"] = ",".join("" for _ in parameters["hostaddr"].split(","))
    connection = PGconn.connect_start(make_conninfo("", **tried).encode())
    lines = connection.get_error_message().splitlines()
    connection.finish()
    found = [line for line in lines if line and not line.startswith(("connection to server", "\t"))]
    return found[0] if found else ""
