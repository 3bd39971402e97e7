"""Shows a document's full number to an operator, after storing a row about the access."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from core.request_id import current_request_id
from kyc.cases.selectors import number_of
from kyc.errors import CaseNotFound, NotAllowed, OwnCase
from kyc.models import Case, NumberAccess
from kyc.roles import REVIEW_CASE


def show_number(*, case_id: int, actor: User) -> str:
    """Returns the decrypted number and stores the access, together or not at all.

    Raises NotAllowed, CaseNotFound, OwnCase or CannotDecrypt.
    """
    if not actor.has_perm(REVIEW_CASE):
        raise NotAllowed("Only reviewers may see the full number.")
    case = Case.objects.filter(pk=case_id).first()
    if case is None:
        raise CaseNotFound
    if case.person_id == actor.pk:
        raise OwnCase
    with transaction.atomic(durable=True):
        NumberAccess.objects.create(case=case, actor=actor, request_id=current_request_id())
        return number_of(case)
