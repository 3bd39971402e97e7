"""Brings the database of a `make run` up to date: migrations, then, in development only, the demo data.

One program for both, because starting Django twice costs a second.
"""

import os

import django
from django.conf import settings
from django.core.management import call_command

from local.configuration import DEMO_LOGIN, demo_password


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    if settings.DEBUG:
        call_command("seed_demo", email=DEMO_LOGIN, password=demo_password())


if __name__ == "__main__":
    main()
