"""Grants roles the permissions for cases and limits. Only reviewers may see images of documents."""

from __future__ import annotations

from core import roles

VIEW_CASE = "kyc.view_case"
VIEW_DOCUMENT = "kyc.view_document"
VIEW_DOCUMENT_ACCESS = "kyc.view_documentaccess"
REVIEW_CASE = "kyc.review_case"
REVOKE_CASE = "kyc.revoke_case"
CHANGE_LIMITS = "kyc.change_limits"
REPROCESS_CALLBACK = "kyc.reprocess_providerevent"

SEE_CASES = frozenset({VIEW_CASE, "kyc.view_caseevent", "kyc.view_check"})
SEE_IMAGES = frozenset({VIEW_DOCUMENT, VIEW_DOCUMENT_ACCESS})
SEE_LIMITS = frozenset({"kyc.view_limitrule", "kyc.view_limitusage"})
SEE_CALLBACKS = frozenset({"kyc.view_providerevent"})


def register() -> None:
    roles.grant("kyc reviewer", SEE_CASES | SEE_IMAGES, "sees cases and documents")
    roles.grant("kyc reviewer", {REVIEW_CASE}, "decides on cases")
    roles.grant("finance", SEE_LIMITS, "sees limits")
    roles.grant("approver", SEE_CASES | SEE_LIMITS | SEE_CALLBACKS, "sees cases, limits and callbacks")
    roles.grant("approver", {REVOKE_CASE}, "revokes approvals")
    roles.grant("approver", {CHANGE_LIMITS}, "sets limits")
    roles.grant("approver", {REPROCESS_CALLBACK}, "processes callbacks again")
