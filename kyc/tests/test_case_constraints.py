"""Tests by direct SQL that the database enforces the rules of cases."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from kyc.cases.constraints import constraints_named
from kyc.errors import CaseOpen, OwnCase
from kyc.models import Case, CaseEvent
from kyc.tests.people import approved, make_person, make_reviewer, submitted

pytestmark = pytest.mark.django_db


def refused(sql: str, parameters: list[int], match: str) -> None:
    with pytest.raises(DatabaseError, match=match), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'in_review'", "a_case_in_review_has_a_reviewer_and_no_other_has"),
        (
            "claimed_by_id = %(reviewer)s, claimed_until = now()",
            "a_case_in_review_has_a_reviewer_and_no_other_has",
        ),
        ("decided_by_id = person_id", "nobody_decides_on_their_own_case"),
        (
            "state = 'in_review', claimed_until = now(), claimed_by_id = person_id",
            "nobody_reviews_their_own_case",
        ),
        ("state = 'approved'", "an_approval_has_an_end"),
        ("state = 'rejected'", "a_refusal_has_a_reason"),
        ("state = 'revoked'", "a_refusal_has_a_reason"),
        ("doubted_at = now()", "only_an_approval_is_doubted"),
        ("person_id = %(reviewer)s", "pgtrigger"),
        ("public_id = gen_random_uuid()", "pgtrigger"),
    ],
)
def test_the_database_refuses_a_case_that_breaks_a_rule(change: str, constraint: str) -> None:
    case, reviewer = submitted(), make_reviewer()
    before = Case.objects.filter(pk=case.pk).values().get()
    sql = f"UPDATE kyc_case SET {change} WHERE id = %(case)s"  # noqa: S608
    with (
        pytest.raises(DatabaseError, match=constraint),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql, {"case": case.pk, "reviewer": reviewer.pk})
    assert Case.objects.filter(pk=case.pk).values().get() == before


def test_the_database_refuses_a_second_open_case() -> None:
    case = submitted()
    with pytest.raises(IntegrityError, match="one_open_case_per_person"), transaction.atomic():
        Case.objects.create(person_id=case.person_id, country="NG", state="draft")
    assert Case.objects.count() == 1


def test_the_database_refuses_a_second_approval_of_a_type() -> None:
    case = approved(make_reviewer())
    with pytest.raises(IntegrityError, match="one_approval_per_person"), transaction.atomic():
        Case.objects.create(
            person_id=case.person_id,
            document_type=case.document_type,
            state="approved",
            expires_at=timezone.now(),
        )
    assert Case.objects.count() == 1


def test_history_can_neither_be_changed_nor_deleted() -> None:
    event = CaseEvent.objects.get(case=submitted())
    refused("UPDATE kyc_caseevent SET provider = 'x' WHERE id = %s", [event.pk], "pgtrigger")
    refused("DELETE FROM kyc_caseevent WHERE id = %s", [event.pk], "pgtrigger")
    event.refresh_from_db()
    assert event.provider == ""


def test_a_violation_becomes_an_error_of_the_app() -> None:
    case = submitted()
    with pytest.raises(CaseOpen), constraints_named(), transaction.atomic():
        Case.objects.create(person_id=case.person_id, country="NG")
    with pytest.raises(OwnCase), constraints_named(), transaction.atomic():
        Case.objects.filter(pk=case.pk).update(decided_by_id=case.person_id)


def test_an_unknown_violation_stays_an_integrity_error() -> None:
    case = submitted()
    unexpected = pytest.raises(IntegrityError, match="an_approval_has_an_end")
    with unexpected, constraints_named(), transaction.atomic():
        Case.objects.filter(pk=case.pk).update(state="approved")
    with pytest.raises(IntegrityError, match="no database"), constraints_named():
        raise IntegrityError("no database")
    assert make_person().kyc_cases.count() == 0
