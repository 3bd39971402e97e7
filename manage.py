#!/usr/bin/env python
"""Django's command line for Amani."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")
    from django.core.management import execute_from_command_line

    from core.sqlstates import WORDS, outage_of
    from observability.telemetry import processes

    processes.start("command")
    try:
        execute_from_command_line(sys.argv)
    except Exception as error:
        outage = outage_of(error)
        if outage is None:
            raise
        first_line = str(error).strip().partition("\n")[0]
        sys.exit(f"The database {WORDS[outage.reason]}: {first_line}\nRun the command again once it is well.")


if __name__ == "__main__":
    main()
