"""Registers the admin pages of alerts, deliveries, receipts, channels, rules and silences, all read-only."""

from observability.admin import channels, deliveries, episodes, receipts, rules, rules_versions, silences

__all__ = ["channels", "deliveries", "episodes", "receipts", "rules", "rules_versions", "silences"]
