"""Refuses migrations that would lock a table or break the version that still runs beside them.

As a program of its own: the linter is a development package and has no place in INSTALLED_APPS.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from django_migration_linter import MigrationLinter

# What the linter would refuse, and is right nevertheless.
ALLOWED = [
    "0006_one_firing_episode_per_fingerprint",  # locks a table on purpose; its text says why
    "0002_case_doubted_at",  # its CHECK is about its own new column, which the previous version leaves empty
    "0011_split_expressions",  # likewise, about its own new columns
    "0019_recurring_silences",  # its constraint and index are of tables that the same release makes
    # Of escrow before its first release: they make their tables, and no version that uses them runs beside.
    "0003_escrows",
    "0006_payouts",
    "0009_collections",
    "0012_contradictions_are_closed",  # likewise; its CHECK is about its own new columns
    "0013_short_escrows",  # likewise; the previous version leaves zero there
    "0014_settled_payouts_are_asked_about",  # likewise
    "0016_provider_fees",  # likewise
]


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")
    django.setup()
    linter = make_linter()
    linter.lint_all_migrations()
    linter.print_summary()
    return int(linter.has_errors)


def make_linter() -> MigrationLinter:
    """Returns the linter with its rules and ours. Needs Django's settings."""
    from django_migration_linter import MigrationLinter
    from django_migration_linter.sql_analyser.base import Check, CheckMode, CheckType
    from django_migration_linter.sql_analyser.postgresql import PostgresqlAnalyser

    class Analyser(PostgresqlAnalyser):
        migration_checks = [
            *PostgresqlAnalyser.migration_checks,
            Check(
                code="ADD_CHECK",
                fn=has_added_check,
                message="ADDING a CHECK, which could refuse what the previous version writes",
                mode=CheckMode.TRANSACTION,
                type=CheckType.ERROR,
            ),
        ]

    linter = MigrationLinter(
        include_apps=["accounts", "escrow", "kyc", "observability"],
        ignore_name=ALLOWED,
        no_cache=True,
        all_warnings_as_errors=True,
    )
    linter.sql_analyser_class = Analyser
    return linter


def has_added_check(statements: list[str], **_: object) -> bool:
    """Whether a table that existed before gets a CHECK."""
    checked = {
        match[1]
        for statement in statements
        if (match := re.match(r'ALTER TABLE ("\w+") ADD CONSTRAINT "\w+" CHECK', statement))
    }
    return any(
        not any(statement.startswith(f"CREATE TABLE {table} ") for statement in statements)
        for table in checked
    )


if __name__ == "__main__":
    sys.exit(main())
