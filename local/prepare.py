"""Before `make run` starts Amani: migrations, the rules of a new Prometheus, then demo data in development,
else the static files.

One program for all, because starting Django twice costs a second. DATABASE_URL is the owner's, for the
migrations; what follows has the role of the application, where APPLICATION_DATABASE_URL names it.
"""

import os

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from amani.database_url import read_database_url
from local.configuration import DEMO_LOGIN, demo_password


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("alert_rules", "seed", verbosity=0)
    become_application(os.environ.get("APPLICATION_DATABASE_URL"))
    if settings.DEBUG:
        call_command("seed_demo", email=DEMO_LOGIN, password=demo_password())
    else:
        call_command("collectstatic", interactive=False, verbosity=0)


def become_application(database_url: str | None) -> None:
    if database_url:
        connection.close()
        connection.settings_dict.update(read_database_url(database_url))


if __name__ == "__main__":
    main()
