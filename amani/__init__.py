"""Wiring: settings, URLs, Celery. Importing Celery here makes `shared_task` use our application."""

from amani.celery import app as celery_app

__all__ = ["celery_app"]
