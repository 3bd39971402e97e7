"""Defines the URLs of monitoring, and of the rule file that is fetched for Prometheus.

Under gunicorn, edge.py answers `/metrics` and the ping before Django.
"""

from django.urls import path

from observability.rules.publication.serving import rules_file
from observability.telemetry.health import health_view, ping_view, readiness_view
from observability.telemetry.metrics.scrape import metrics_view

urlpatterns = [
    path("api/v1/alerts/rules", rules_file, name="alert-rules"),
    path("metrics", metrics_view, name="metrics"),
    path("api/v1/ping", ping_view, name="ping"),
    path("api/v1/health", health_view, name="health"),
    path("api/v1/readiness", readiness_view, name="readiness"),
]
