"""Before `make run` starts Amani: migrations, then demo data in development, else the static files.

One program for all, because starting Django twice costs a second.
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
    else:
        call_command("collectstatic", interactive=False, verbosity=0)


if __name__ == "__main__":
    main()
