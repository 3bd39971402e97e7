"""Makes the role of the application in the PostgreSQL of docker-compose.yml, or gives it its password anew.

    application_role.py FOLDER

The service `migrate` runs it before `manage.py migrate`, which grants the role its rights. FOLDER has the
files that prepare.py wrote for that service. In a PostgreSQL of their own operators make the role.
"""

import sys
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier, Literal

MAY = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"


def set_up(database_url: str, role: str, password: str) -> None:
    """The server gets the password as it keeps it, so that no log of statements has it in clear."""
    with psycopg.connect(database_url) as connection:
        kept = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None
        statement = SQL("ALTER ROLE {} {} PASSWORD {}" if known else "CREATE ROLE {} {} PASSWORD {}")
        connection.execute(statement.format(Identifier(role), SQL(MAY), Literal(kept.decode())))


def main() -> int:
    folder = Path(sys.argv[1])
    names = ("database_url", "database_application_role", "application_password")
    database_url, role, password = ((folder / name).read_text() for name in names)
    if not password:
        return 0
    try:
        set_up(database_url, role, password)
    except psycopg.Error as problem:
        print(f"The role {role} cannot be made: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
