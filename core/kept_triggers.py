"""Triggers that no session of the application can leave out.

django-pgtrigger leaves out the triggers that a setting of the session names, for a data migration or a demo,
and PostgreSQL lets every role make such a setting. For the tables that an app names here, `migrate` has the
function that reads the setting look at who asks as well: only the owner of the table is obeyed.

    kept_triggers.keep("escrow_escrow")  # in AppConfig.ready()
"""

from __future__ import annotations

from django.db import connections
from psycopg.sql import SQL, Literal

# pgtrigger's migrations make it again without this when they add a trigger, so `migrate` ends with it. Its
# argument keeps its name. By session_user, which a SECURITY DEFINER function does not change.
KEEP = SQL("""
CREATE OR REPLACE FUNCTION "public"._pgtrigger_should_ignore(trigger_name NAME)
RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE
    named TEXT[] := nullif(current_setting('pgtrigger.ignore', true), '');
BEGIN
    IF named IS NULL OR trigger_name <> ALL (named) THEN
        RETURN FALSE;
    END IF;
    RETURN NOT EXISTS (
        SELECT FROM pg_catalog.pg_trigger
        JOIN pg_catalog.pg_class ON pg_class.oid = pg_trigger.tgrelid
        WHERE pg_trigger.tgname = trigger_name AND pg_class.relname = ANY ({tables})
            AND NOT pg_has_role(session_user, pg_class.relowner, 'MEMBER')
    );
END $$
""")
_tables: set[str] = set()


def keep(*tables: str) -> None:
    """Names tables whose triggers are left out for their owner only."""
    _tables.update(tables)


def guard_triggers(database: str) -> None:
    """Replaces pgtrigger's function by one that knows the named tables."""
    with connections[database].cursor() as cursor:
        cursor.execute(KEEP.format(tables=Literal(sorted(_tables))).as_string())
