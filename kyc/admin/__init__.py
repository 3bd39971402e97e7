"""What operators see of KYC: the review queue, one case, limits, what providers said."""

from kyc.admin import limits, providers, queue, usage

__all__ = ["limits", "providers", "queue", "usage"]
