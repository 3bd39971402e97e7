"""Clients of django-hordak, in the environment of the peers. Makes their tables and accounts first."""

import os
import random
from urllib.parse import urlsplit

import django
from django.conf import settings

from benchmarks.ledger.rounds import Once, serve

ACCOUNTS = 5_000
address = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    SECRET_KEY="nothing here is signed",  # noqa: S106  (true)
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "mptt", "djmoney", "hordak"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": address.hostname,
            "PORT": address.port,
            "USER": address.username,
            "PASSWORD": address.password,
            "NAME": address.path[1:],
        }
    },
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    CURRENCIES=("NGN",),
    DEFAULT_CURRENCY="NGN",
)
django.setup()


def prepare() -> None:
    from django.core.management import call_command
    from hordak.models import Account

    call_command("migrate", verbosity=0)
    with Account.objects.disable_mptt_updates():
        Account.objects.bulk_create(
            Account(name=f"a{number}", type="LI", currencies=["NGN"], lft=1, rght=2, tree_id=number, level=0)
            for number in range(1, ACCOUNTS + 1)
        )


def hordak(number: int) -> Once:
    from moneyed import Money

    source, one = random.Random(number), Money(1, "NGN")  # noqa: S311  (repeatable, no secret)

    def transfer() -> object:
        first, second = source.sample(accounts, 2)
        return first.transfer_to(second, one)

    return transfer


if __name__ == "__main__":
    from django.db import connection
    from hordak.models import Account

    prepare()
    accounts = list(Account.objects.all())
    connection.close()
    serve({"hordak": hordak})
