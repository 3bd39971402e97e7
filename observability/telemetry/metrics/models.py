"""Saves and deletions by model, counted by django-prometheus' `ExportModelOperationsMixin`.

The mixin makes the children of a model when the model's class is made. docs/metrics.md says what is counted.
"""

from django_prometheus.models import model_deletes, model_inserts, model_updates

from observability.telemetry.metrics.declare import REGISTRY

for operation in (model_inserts, model_updates, model_deletes):
    REGISTRY.register(operation)  # django-prometheus declares them in prometheus_client's own registry
