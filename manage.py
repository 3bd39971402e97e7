#!/usr/bin/env python
"""Django's command line for Amani."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")
    from django.core.management import execute_from_command_line

    from observability import processes

    processes.start("command")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
