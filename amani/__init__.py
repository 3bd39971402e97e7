"""Connects the apps: settings, URLs, Celery. The import of Celery makes `shared_task` use our application."""

from amani.celery import app as celery_app

__all__ = ["celery_app"]
