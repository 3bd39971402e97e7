"""Builds the context of a case's page, with a number of queries that does not grow with its history."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

from django.db.models import QuerySet

from accounts.models import User
from kyc.admin import actions
from kyc.admin.next_case import neighbours
from kyc.badges import check_badge, due, event_badge, provider_name
from kyc.cases.selectors import masked_number, same_number
from kyc.models import Case, Document, DocumentAccess, NumberAccess, Side

MOST_EVENTS = 200
MOST_OTHERS = 10
MOST_ACCESSES = 30
MOST_CHECKS = 10
SAME_NUMBER, SAME_IMAGE = "same number", "same image"


class Access(NamedTuple):
    """An operator saw an image or the number; `what` names it."""

    row: DocumentAccess | NumberAccess
    what: str


def page_context(case: Case, user: User) -> dict[str, Any]:
    found_again = duplicates(case)
    previous_case, next_case = neighbours(case)
    checks = case.checks.order_by("-id")[:MOST_CHECKS]
    return {
        "due": due(case),
        "actions": actions.offered(user, case),
        "reasons": actions.REASONS,
        "is_own": case.person_id == user.pk,
        "has_it": case.claimed_by_id == user.pk,
        "masked_number": masked_number(case),
        "duplicates": [(other, ", ".join(why)) for other, why in found_again.items()],
        "must_say_why": any(SAME_NUMBER in why for why in found_again.values()),
        "checks": [(check, provider_name(check.provider), *check_badge(check)) for check in checks],
        "earlier": list(others_of_the_person(case)[:MOST_OTHERS]),
        "timeline": timeline(case),
        "previous_case": previous_case,
        "next_case": next_case,
    }


def duplicates(case: Case) -> dict[Case, list[str]]:
    """Returns other cases with the same number (of other persons) or the same image → the reasons."""
    found: dict[Case, list[str]] = {}
    for why, others in ((SAME_NUMBER, same_number(case)), (SAME_IMAGE, same_image(case))):
        for other in others.order_by("-id")[:MOST_OTHERS]:
            found.setdefault(other, []).append(why)
    return found


def same_image(case: Case) -> QuerySet[Case]:
    mine = case.documents.values("sha256")
    found = Document.objects.filter(sha256__in=mine).exclude(case=case).order_by().values("case_id")
    return Case.objects.filter(pk__in=found)


def others_of_the_person(case: Case) -> QuerySet[Case]:
    return Case.objects.filter(person_id=case.person_id).exclude(pk=case.pk).order_by("-id")


def timeline(case: Case) -> list[Any]:
    events = case.events.select_related("actor", "written").order_by("-id")[:MOST_EVENTS]
    return [(event, *event_badge(event.event)) for event in events]


def images_context(case: Case) -> dict[str, Any]:
    """Returns the images of the case, for operators who may see them."""
    documents = list(case.documents.order_by("id"))
    shown = [document for document in documents if not document.replaced_at and not document.deleted_at]
    order = list(Side.values)
    return {
        "images": sorted(shown, key=lambda document: order.index(document.side)),
        "replaced": [document for document in documents if document.replaced_at and not document.deleted_at],
        "deleted": [document for document in documents if document.deleted_at],
    }


def accesses_to(case: Case) -> list[Access]:
    """Returns the newest accesses of operators to images and number, newest first."""
    images = DocumentAccess.objects.filter(document__case=case).select_related("actor", "document")
    numbers = NumberAccess.objects.filter(case=case).select_related("actor")
    found = chain(
        (Access(row, row.document.get_side_display()) for row in images.order_by("-id")[:MOST_ACCESSES]),
        (Access(row, "number") for row in numbers.order_by("-id")[:MOST_ACCESSES]),
    )
    return sorted(found, key=lambda access: access.row.at, reverse=True)[:MOST_ACCESSES]
