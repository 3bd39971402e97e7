#!/usr/bin/env python
"""Django's command line for Amani."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")
    from django.core.management import execute_from_command_line

    from core.sqlstates import DESCRIPTIONS, outage_of
    from observability.telemetry import processes

    processes.start("command")
    try:
        execute_from_command_line(sys.argv)
    except Exception as error:
        outage = outage_of(error)
        if outage is None:
            raise
        first_line = str(error).strip().partition("\n")[0]
        what = f"The database {DESCRIPTIONS[outage.reason]}: {first_line}"
        sys.exit(f"{what}\nRun the command again when the outage is over.")


if __name__ == "__main__":
    main()
