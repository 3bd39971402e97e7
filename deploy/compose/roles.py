"""Makes the roles that own nothing in the PostgreSQL of docker-compose.yml, or renews their passwords.

    roles.py FOLDER

The application's role gets its rights from `manage.py migrate`, which the service `migrate` runs next. The
exporter's may see what the server does, and no table. FOLDER has the files that prepare.py wrote for that
service. In a PostgreSQL of their own operators make the roles.
"""

import sys
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier, Literal

MAY = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
EXPORTER_ROLE = "amani_exporter"  # as in docker-compose.yml
WATCHES = SQL("GRANT pg_monitor TO {}")
# The detail of an error quotes rows. Not in the command of the server: what it says when it cannot start, for
# example with files of another version, needs its details.
WITHOUT_ROWS = SQL("ALTER DATABASE {} SET log_error_verbosity = 'terse'")


def set_up(session: psycopg.Connection, role: str, password: str) -> None:
    """The server gets the password as it keeps it, so that no log of statements has it in clear."""
    kept = session.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    known = session.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None
    statement = SQL("ALTER ROLE {} {} PASSWORD {}" if known else "CREATE ROLE {} {} PASSWORD {}")
    session.execute(statement.format(Identifier(role), SQL(MAY), Literal(kept.decode())))


def set_up_all(database_url: str, application: tuple[str, str], exporter: tuple[str, str]) -> None:
    """Makes both roles, each given as name and password, in one transaction. New sessions log no rows."""
    with psycopg.connect(database_url) as session:
        set_up(session, *application)
        set_up(session, *exporter)
        session.execute(WATCHES.format(Identifier(exporter[0])))
        session.execute(WITHOUT_ROWS.format(Identifier(session.info.dbname)))


def main() -> int:
    folder = Path(sys.argv[1])
    names = ("database_url", "database_application_role", "application_password", "exporter_password")
    database_url, role, password, of_exporter = ((folder / name).read_text() for name in names)
    if not password:
        return 0
    try:
        set_up_all(database_url, (role, password), (EXPORTER_ROLE, of_exporter))
    except psycopg.Error as problem:
        print(f"The roles {role} and {EXPORTER_ROLE} cannot be made: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
