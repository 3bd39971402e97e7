"""The WSGI application that gunicorn serves."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")

django.setup(set_prefix=False)  # like get_wsgi_application, which does not support chunked bodies

from core.bodies import Handler  # noqa: E402  (these modules read the settings)
from observability.telemetry.edge import Edge  # noqa: E402

application = Edge(Handler())
