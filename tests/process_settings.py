"""Settings of the processes that tests start: Amani's, with sample_urls.py, without admin and templates."""

from amani.settings import *  # noqa: F403
from amani.settings import INSTALLED_APPS as EVERYTHING

WITHOUT_AUTODISCOVERY = {
    "unfold.apps.BasicAppConfig": None,
    "amani.apps.ConsoleConfig": "django.contrib.admin.apps.SimpleAdminConfig",
}
INSTALLED_APPS = [app for name in EVERYTHING if (app := WITHOUT_AUTODISCOVERY.get(name, name))]
ROOT_URLCONF = "observability.tests.sample_urls"
TEMPLATES = []
SECURE_SSL_REDIRECT = False
