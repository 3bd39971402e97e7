"""The WSGI application that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")

django_application = get_wsgi_application()

from observability.edge import Edge  # noqa: E402  (its modules read the settings)

application = Edge(django_application)
