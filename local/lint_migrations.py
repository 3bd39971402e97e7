"""Migrations that would lock a table or break the version that still runs beside them.

As a program of its own: the linter is a development package and has no place in INSTALLED_APPS.
"""

import os
import sys

import django


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")
    django.setup()
    from django_migration_linter import MigrationLinter

    linter = MigrationLinter(
        include_apps=["accounts", "kyc", "observability"], no_cache=True, all_warnings_as_errors=True
    )
    linter.lint_all_migrations()
    linter.print_summary()
    return int(linter.has_errors)


if __name__ == "__main__":
    sys.exit(main())
