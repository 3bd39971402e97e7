"""Migrations that would lock a table or break the version that still runs beside them.

As a program of its own: the linter is a development package and has no place in INSTALLED_APPS.
"""

import os
import sys

import django

# These lock a table on purpose; each says why in its own text.
LOCKS_ON_PURPOSE = ["0006_one_firing_episode_per_fingerprint"]


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")
    django.setup()
    from django_migration_linter import MigrationLinter

    linter = MigrationLinter(
        include_apps=["accounts", "kyc", "observability"],
        ignore_name=LOCKS_ON_PURPOSE,
        no_cache=True,
        all_warnings_as_errors=True,
    )
    linter.lint_all_migrations()
    linter.print_summary()
    return int(linter.has_errors)


if __name__ == "__main__":
    sys.exit(main())
