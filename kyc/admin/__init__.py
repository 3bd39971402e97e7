"""Admin pages of KYC: the review queue, cases, limits, usage and callbacks."""

from kyc.admin import limits, providers, queue, usage

__all__ = ["limits", "providers", "queue", "usage"]
