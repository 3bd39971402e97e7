"""Registers the admin pages of alerts, deliveries, receipts, channels, routes, rules and silences."""

from observability.admin import (
    channels,
    deliveries,
    episodes,
    receipts,
    routes,
    rules,
    rules_versions,
    silence_windows,
    silences,
)

__all__ = [
    "channels",
    "deliveries",
    "episodes",
    "receipts",
    "routes",
    "rules",
    "rules_versions",
    "silence_windows",
    "silences",
]
