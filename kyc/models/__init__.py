"""Models of KYC: cases, documents, provider checks, callbacks, and limits."""

from kyc.models.access import NumberAccess
from kyc.models.cases import Case, CaseEvent, CaseEventText, DocumentType, RejectionReason, State
from kyc.models.documents import Document, DocumentAccess, Side
from kyc.models.limits import LimitKind, LimitRule, LimitUsage
from kyc.models.providers import Check, ProviderEvent

__all__ = [
    "Case",
    "CaseEvent",
    "CaseEventText",
    "Check",
    "Document",
    "DocumentAccess",
    "DocumentType",
    "LimitKind",
    "LimitRule",
    "LimitUsage",
    "NumberAccess",
    "ProviderEvent",
    "RejectionReason",
    "Side",
    "State",
]
