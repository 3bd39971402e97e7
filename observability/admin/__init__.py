"""What operators see: alerts, deliveries, receipts, channels. All of it history: shown, never edited."""

from observability.admin import channels, deliveries, episodes, receipts

__all__ = ["channels", "deliveries", "episodes", "receipts"]
