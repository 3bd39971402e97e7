"""Registers the admin pages of alerts, deliveries, receipts and channels. All of them are read-only."""

from observability.admin import channels, deliveries, episodes, receipts

__all__ = ["channels", "deliveries", "episodes", "receipts"]
