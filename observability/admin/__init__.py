"""Registers the admin pages of alerts, deliveries, receipts, channels and rules. All are read-only."""

from observability.admin import channels, deliveries, episodes, receipts, rules

__all__ = ["channels", "deliveries", "episodes", "receipts", "rules"]
