"""Creates test users, and cases in any state through the real services."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from itertools import count
from typing import Any

from django.contrib.auth.models import Group
from PIL import Image

from accounts.models import User
from kyc import cases
from kyc.document_types import KINDS
from kyc.models import Case, DocumentType, Side, State

numbers = count(10_000_000)
REFUSAL = {"reason_code": "unreadable", "reason": "The number can't be read."}


def make_person(name: str = "") -> User:
    name = name or f"person-{next(numbers)}"
    return User.objects.create_user(f"{name}@example.com", full_name=name.title())


def make_operator(role: str, name: str = "") -> User:
    name = name or f"{role.replace(' ', '-')}-{next(numbers)}"
    operator = User.objects.create_user(f"{name}@example.com", is_staff=True)
    operator.groups.add(Group.objects.get(name=role))
    return operator


def make_reviewer(name: str = "") -> User:
    return make_operator("kyc reviewer", name)


def make_approver(name: str = "") -> User:
    return make_operator("approver", name)


def new_number() -> str:
    """Of a Nigerian passport; no two are the same."""
    return f"A{next(numbers)}"


@cache
def picture(side: str = "front") -> bytes:
    """A small JPEG, of another colour for each side."""
    colours = {"front": "red", "back": "green", "selfie": "blue"}
    buffer = BytesIO()
    Image.new("RGB", (200, 200), colours[side]).save(buffer, "JPEG")
    return buffer.getvalue()


def pictures(document_type: str = DocumentType.PASSPORT) -> dict[Side, bytes]:
    return {side: picture(side) for side in KINDS[DocumentType(document_type)].images}


def submission(**changes: Any) -> dict[str, Any]:
    """What `cases.submit` takes beside the person: a Nigerian passport."""
    return {
        "document_type": "passport",
        "country": "NG",
        "number": new_number(),
        "images": pictures(changes.get("document_type", DocumentType.PASSPORT)),
        **changes,
    }


def submitted(person: User | None = None, **changes: Any) -> Case:
    return cases.submit(person=person or make_person(), **submission(**changes))


def in_review(reviewer: User, person: User | None = None, **changes: Any) -> Case:
    return cases.claim(case_id=submitted(person, **changes).pk, reviewer=reviewer)


def approved(reviewer: User, person: User | None = None, **changes: Any) -> Case:
    return cases.approve(case_id=in_review(reviewer, person, **changes).pk, reviewer=reviewer)


def doubted(reviewer: User, person: User | None = None) -> Case:
    """Approved by a person; later the provider says no."""
    case = approved(reviewer, person)
    return cases.doubt_by_provider(case_id=case.pk, provider="manual", reason="Reported stolen.")


def rejected(reviewer: User, person: User | None = None, **changes: Any) -> Case:
    return cases.reject(case_id=in_review(reviewer, person, **changes).pk, reviewer=reviewer, **REFUSAL)


def case_in(state: State, *, person: User, reviewer: User, approver: User) -> Case:
    """A case of `person` in that state, with all the history that led there."""
    if state == State.DRAFT:
        case = in_review(reviewer, person)
        return cases.ask_for_more(case_id=case.pk, reviewer=reviewer, **REFUSAL)
    if state == State.SUBMITTED:
        return submitted(person)
    if state == State.IN_REVIEW:
        return in_review(reviewer, person)
    if state == State.REJECTED:
        return rejected(reviewer, person)
    case = approved(reviewer, person)
    if state == State.EXPIRED:
        Case.objects.filter(pk=case.pk).update(expires_at=case.created_at)
        cases.expire_due()
    if state == State.REVOKED:
        cases.revoke(case_id=case.pk, actor=approver, reason_code="suspected_fraud", reason="Forged.")
    case.refresh_from_db()
    return case
