"""System checks of the role that Amani connects to PostgreSQL with: `check --deploy --database default`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Tags, register

from core.database_roles import schema_to_make_objects_in, writable_by_connection


@register(deploy=True)
def two_roles(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> Iterable[CheckMessage]:
    if not settings.DATABASE_APPLICATION_ROLE:
        yield checks.Warning(
            "DATABASE_APPLICATION_ROLE is not set: one role of PostgreSQL owns the tables and serves "
            "requests. Triggers alone guard the ledger, and that role can switch them off.",
            hint="Create a second role, set DATABASE_APPLICATION_ROLE to its name, and give web, worker and "
            "beat its DATABASE_URL (docs/operations.md#two-roles-of-postgresql).",
            id="amani.W017",
        )


@register(Tags.database, deploy=True)
def right_role(
    app_configs: Sequence[AppConfig] | None, *, databases: Sequence[str] | None = None, **kwargs: Any
) -> Iterable[CheckMessage]:
    """Asks PostgreSQL, with two statements. `migrate` does not run it, because it is not `--deploy`."""
    if not settings.DATABASE_APPLICATION_ROLE:
        return
    for database in databases or ():
        writable = writable_by_connection(database)
        if writable:
            yield checks.Warning(
                f"The role in DATABASE_URL may write what only the owner should: {', '.join(writable)}.",
                hint=f"Give this process the DATABASE_URL of {settings.DATABASE_APPLICATION_ROLE} "
                "(DATABASE_APPLICATION_ROLE); only migrate needs the owner's. If it is already that role, "
                "run migrate, which takes from it what it should not have.",
                id="amani.W018",
            )
        elif schema := schema_to_make_objects_in(database):
            yield checks.Warning(
                f"The role in DATABASE_URL may make tables and functions in the schema {schema}. PostgreSQL "
                "14 and older allow that to everyone, and an upgraded database keeps it.",
                hint=f"As the owner of the schema: GRANT CREATE ON SCHEMA {schema} TO the role of migrate, "
                f"then REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC. migrate does it where its role owns the "
                "schema. The role of the application must own neither schema nor database.",
                id="amani.W020",
            )
