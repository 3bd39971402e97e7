"""What operators see of KYC: the review queue, one case, limits, what providers said."""

from kyc.admin import limits, queue

__all__ = ["limits", "queue"]
