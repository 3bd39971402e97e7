"""Connects the apps: settings, URLs, Celery. The import of Celery makes `shared_task` use our application."""

from core.imports import pause_collector

pause_collector()  # AmaniConfig.ready resumes it

from amani.celery import app as celery_app  # noqa: E402  (the pause begins before the imports)

__all__ = ["celery_app"]
