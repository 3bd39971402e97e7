"""A whole Django project in one file: one view, one SQL statement, no middleware, a connection kept open.

It stores the same three things as Amani: the alert, its history, and a row for each notification to send.
It checks nothing, and its detection of changes can race.
"""

import json
import os
from urllib.parse import urlsplit

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.limit.statements import STORE

database = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="nothing here is signed",  # noqa: S106
    USE_TZ=True,
    LOGGING_CONFIG=None,
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": database.path[1:],
            "USER": database.username,
            "PASSWORD": database.password,
            "HOST": database.hostname,
            "PORT": database.port,
            "CONN_MAX_AGE": None,
        }
    },
)


def store(body: bytes) -> int:
    json.loads(body)  # a body that is no JSON has to be refused
    with connection.cursor() as cursor:
        cursor.execute(STORE, [body.decode()])
        row = cursor.fetchone()
    return int(row[0])


def answer(body: bytes) -> HttpResponse:
    """With its length, which CommonMiddleware would add: without it the connection is not kept."""
    return HttpResponse(body, headers={"Content-Length": str(len(body))})


def webhook(request: HttpRequest) -> HttpResponse:
    return answer(b"%d" % store(request.body))


def webhook_with_doorbell(request: HttpRequest) -> HttpResponse:
    """As `webhook`, and wakes the relay."""
    stored = store(request.body)
    with connection.cursor() as cursor:
        cursor.execute("NOTIFY outbox")
    return answer(b"%d" % stored)


urlpatterns = [path("webhook", webhook), path("webhook/notify", webhook_with_doorbell)]
application = get_wsgi_application()
