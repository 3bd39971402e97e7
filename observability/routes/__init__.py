"""Decides which channels are notified of an alert: by the operators' routes, or by ALERT_ROUTES."""

from observability.routes.deciding import Decision, Routes
from observability.routes.loading import IS_CURRENT, cached, current

__all__ = ["IS_CURRENT", "Decision", "Routes", "cached", "current"]
