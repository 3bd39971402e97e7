"""Registers the admin pages of alerts, deliveries, receipts, channels, routes, rules and silences."""

from observability.admin import (
    channels,
    deliveries,
    episodes,
    receipts,
    routes,
    rules,
    rules_versions,
    silences,
)

__all__ = ["channels", "deliveries", "episodes", "receipts", "routes", "rules", "rules_versions", "silences"]
