"""The role that the application connects with: it owns nothing, and has only the rights given here.

`migrate` runs as the owner of the tables and calls `grant_rights` at its end. Every table may be read and
written, except those that an app protects in its AppConfig.ready():

    database_roles.read_only("ledger_transfer", "ledger_entry")  # SELECT
    database_roles.may_execute("ledger_post")  # a SECURITY DEFINER function, which writes them as the owner

A SECURITY DEFINER function that no app names may be executed by the owner only. What an owner can do, the
role cannot, also where it may write: switch off a trigger, empty a table at once, change it. Nor does it make
objects of its own, which other roles' statements could find in place of Amani's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from django.db import connections, transaction
from psycopg.sql import SQL, Composable, Composed, Identifier

CREATE_ROLE = SQL("CREATE ROLE {} LOGIN PASSWORD '…'")
# Of the schema that migrations make their tables in. A sequence comes with the table whose column it numbers.
RELATIONS = """
SELECT relation.relname, relation.relkind::text, coalesce(numbered.relname, '')
FROM pg_class AS relation
LEFT JOIN pg_depend AS numbers ON relation.relkind = 'S' AND numbers.objid = relation.oid
    AND numbers.classid = 'pg_class'::regclass AND numbers.refclassid = 'pg_class'::regclass
    AND numbers.deptype IN ('a', 'i')
LEFT JOIN pg_class AS numbered ON numbered.oid = numbers.refobjid
WHERE relation.relnamespace = quote_ident(current_schema())::regnamespace
    AND relation.relkind IN ('r', 'p', 'v', 'm', 'S') AND pg_has_role(relation.relowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_depend AS extension WHERE extension.classid = 'pg_class'::regclass
                    AND extension.objid = relation.oid AND extension.deptype = 'e')
ORDER BY relation.relname
"""
GUARDED_FUNCTIONS = """
SELECT proname, oid::regprocedure::text
FROM pg_proc
WHERE pronamespace = quote_ident(current_schema())::regnamespace
    AND prosecdef AND pg_has_role(proowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_depend AS extension WHERE extension.classid = 'pg_proc'::regclass
                    AND extension.objid = pg_proc.oid AND extension.deptype = 'e')
ORDER BY 2
"""
ROLE = """
SELECT rolname = current_user, rolsuper, pg_has_role(oid, current_user, 'MEMBER')
FROM pg_roles WHERE rolname = %s
"""
WRITABLE = """
SELECT relname FROM pg_class
WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relname = ANY(%s)
    AND (has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER')
         OR has_any_column_privilege(oid, 'INSERT, UPDATE') OR pg_has_role(relowner, 'MEMBER'))
ORDER BY relname
"""
# PostgreSQL 14 and older let everyone make objects in the schema `public`, and an upgrade keeps that.
MAKES_OBJECTS = """
SELECT nspname FROM pg_namespace
WHERE oid = quote_ident(current_schema())::regnamespace AND has_schema_privilege(oid, 'CREATE')
"""
OWN_SCHEMA = """
SELECT nspname FROM pg_namespace
WHERE oid = quote_ident(current_schema())::regnamespace AND pg_has_role(nspowner, 'USAGE')
"""
CLOSE_SCHEMA = "REVOKE CREATE ON SCHEMA {} FROM PUBLIC, {}"
CLOSE_FUNCTIONS = "REVOKE ALL ON FUNCTION {} FROM PUBLIC"
OPEN_SCHEMA = "GRANT USAGE ON SCHEMA {} TO {}"
TAKE_TABLES = "REVOKE ALL ON TABLE {} FROM {}"
TAKE_SEQUENCES = "REVOKE ALL ON SEQUENCE {} FROM {}"
TAKE_FUNCTIONS = "REVOKE ALL ON FUNCTION {} FROM {}"
READ_TABLES = "GRANT SELECT ON TABLE {} TO {}"
READ_SEQUENCES = "GRANT SELECT ON SEQUENCE {} TO {}"
WRITE_TABLES = "GRANT INSERT, UPDATE, DELETE ON TABLE {} TO {}"
USE_SEQUENCES = "GRANT USAGE ON SEQUENCE {} TO {}"
CALL_FUNCTIONS = "GRANT EXECUTE ON FUNCTION {} TO {}"
CURRENT_SCHEMA = "SELECT current_schema()"

_read_only = {"django_migrations"}
_executable: set[str] = set()


class UnusableRole(Exception):
    """The role of the application is missing, or could do everything; the message says what to do."""


class Relation(NamedTuple):
    name: str
    kind: str  # as in pg_class.relkind
    numbers: str  # the table that a sequence belongs to

    @property
    def is_protected(self) -> bool:
        return self.kind in "vm" or bool(_read_only & {self.name, self.numbers})


def read_only(*tables: str) -> None:
    """Leaves the application SELECT alone on these tables, whether they exist yet or not."""
    _read_only.update(tables)


def may_execute(*functions: str) -> None:
    """Lets the application execute the SECURITY DEFINER functions of these names."""
    _executable.update(functions)


def require_usable(role: str, database: str) -> None:
    """Raises UnusableRole unless `role` exists and is less than the role that is connected now."""
    rows = ask(database, ROLE, [role])
    if not rows:
        statement = CREATE_ROLE.format(Identifier(role)).as_string()
        raise UnusableRole(
            f"DATABASE_APPLICATION_ROLE is {role}, and PostgreSQL has no such role. Nothing was changed. "
            f"Execute, as a role that may create roles: {statement}"
        )
    [(is_connected, is_superuser, may_become_owner)] = rows
    if is_connected:
        raise UnusableRole(
            f"migrate is connected as {role}, the role of the application (DATABASE_APPLICATION_ROLE), which "
            "may not change tables. Give it the DATABASE_URL of the role that owns them."
        )
    if is_superuser or may_become_owner:
        has = "is a superuser" if is_superuser else "is a member of the role that owns the tables"
        raise UnusableRole(
            f"The role {role} {has}, so no table can be protected from it. Nothing was changed. Name another "
            "in DATABASE_APPLICATION_ROLE, or take that from it."
        )


def guard_functions(database: str) -> None:
    """Takes from PUBLIC what PostgreSQL gives it for every new function, a restored one among them."""
    functions = [SQL(signature) for _name, signature in ask(database, GUARDED_FUNCTIONS)]
    execute(database, on(functions, CLOSE_FUNCTIONS))


def grant_rights(role: str, database: str) -> None:
    """Gives `role` what the apps registered and nothing else, whatever was granted by hand.

    In one transaction, so that no statement of a process that runs meanwhile is refused.
    """
    with transaction.atomic(using=database):
        execute(database, rights(Identifier(role), database))


def rights(role: Identifier, database: str) -> Iterator[Composed]:
    """Yields the statements that take every right from `role` and give it those it shall have."""
    relations = [Relation(*row) for row in ask(database, RELATIONS)]
    tables = [one for one in relations if one.kind != "S"]
    numbers = [one for one in relations if one.kind == "S"]
    functions = ask(database, GUARDED_FUNCTIONS)
    yield from on([Identifier(name) for (name,) in ask(database, OWN_SCHEMA)], CLOSE_SCHEMA, role)
    yield from on(map(Identifier, *ask(database, CURRENT_SCHEMA)), OPEN_SCHEMA, role)
    yield from on(named(tables), TAKE_TABLES, role)
    yield from on(named(numbers), TAKE_SEQUENCES, role)
    yield from on([SQL(signature) for _, signature in functions], TAKE_FUNCTIONS, role)
    yield from on(named(tables), READ_TABLES, role)
    yield from on(named(writable(tables)), WRITE_TABLES, role)
    yield from on(named(numbers), READ_SEQUENCES, role)
    yield from on(named(writable(numbers)), USE_SEQUENCES, role)
    called = [SQL(signature) for name, signature in functions if name in _executable]
    yield from on(called, CALL_FUNCTIONS, role)


def writable_by_connection(database: str) -> list[str]:
    """Returns the protected tables that the connected role may write, or may give itself the right to."""
    return [name for (name,) in ask(database, WRITABLE, [sorted(_read_only)])]


def schema_to_make_objects_in(database: str) -> str:
    """Returns the schema of the tables if the connected role may make objects in it, else ""."""
    return next((str(name) for (name,) in ask(database, MAKES_OBJECTS)), "")


def writable(relations: Iterable[Relation]) -> Iterator[Relation]:
    return (one for one in relations if not one.is_protected)


def named(relations: Iterable[Relation]) -> list[Identifier]:
    return [Identifier(one.name) for one in relations]


def on(objects: Iterable[Composable], statement: str, *role: Identifier) -> Iterator[Composed]:
    """Yields `statement` with these objects, or nothing if there are none."""
    listed = SQL(", ").join(objects)
    if listed.as_string():
        yield SQL(statement).format(listed, *role)


def execute(database: str, statements: Iterable[Composed]) -> None:
    with connections[database].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.as_string())


def ask(database: str, question: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
    with connections[database].cursor() as cursor:
        cursor.execute(question, parameters)
        return list(cursor.fetchall())
