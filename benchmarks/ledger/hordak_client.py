"""One client of django-hordak, in the environment of the peers; the same arguments and output as clients.py.

`python hordak_client.py prepare` makes its tables and accounts.
"""

import json
import os
import random
import sys
import time
from statistics import quantiles
from urllib.parse import urlsplit

import django
from django.conf import settings

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
        for number in range(ACCOUNTS):
            Account(
                name=f"a{number}", type="LI", currencies=["NGN"], lft=0, rght=0, tree_id=0, level=0
            ).save()
    Account.objects.rebuild()


def main() -> None:
    number, seconds = int(sys.argv[2]), float(sys.argv[3])
    from hordak.models import Account
    from moneyed import Money

    accounts = list(Account.objects.all())
    source, one = random.Random(number), Money(1, "NGN")  # noqa: S311  (repeatable, no secret)
    for _ in range(20):
        first, second = source.sample(accounts, 2)
        first.transfer_to(second, one)
    print("ready", flush=True)
    sys.stdin.readline()
    times = []
    began = last = time.perf_counter()
    while last - began <= seconds:
        first, second = source.sample(accounts, 2)
        first.transfer_to(second, one)
        now = time.perf_counter()
        times.append(now - last)
        last = now
    p99 = quantiles(times, n=100, method="inclusive")[98] * 1000
    print(json.dumps({"rate": len(times) / (last - began), "p99_ms": p99}), flush=True)


if sys.argv[1] == "prepare":
    prepare()
else:
    main()
