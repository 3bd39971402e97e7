from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from kyc import cases
from kyc.models import Case
from kyc.standing import standing_of
from kyc.tests.people import approved, make_approver, make_person, make_reviewer, submitted
from kyc.tiers import HIGHEST, TIERS, next_tier, tier_from, tier_of

NIN, BVN = ("nin", "NG"), ("bvn", "NG")
PASSPORT, LICENCE = ("passport", "NG"), ("drivers_licence", "NG")
FOREIGN_PASSPORT, FOREIGN_ID = ("passport", "GH"), ("national_id", "KE")


@pytest.mark.parametrize(
    ("documents", "tier"),
    [
        ([], 0),
        ([PASSPORT], 0),
        ([PASSPORT, LICENCE], 0),
        ([NIN], 1),
        ([BVN], 1),
        ([NIN, BVN], 1),
        ([FOREIGN_PASSPORT], 1),
        ([FOREIGN_PASSPORT, LICENCE], 1),
        ([NIN, PASSPORT], 2),
        ([BVN, ("voters_card", "NG")], 2),
        ([NIN, FOREIGN_PASSPORT], 2),
        ([FOREIGN_PASSPORT, FOREIGN_ID], 2),
        ([FOREIGN_PASSPORT, FOREIGN_ID, ("drivers_licence", "GH")], 2),
        ([NIN, BVN, LICENCE], 3),
        ([NIN, BVN, FOREIGN_PASSPORT], 3),
    ],
)
def test_a_tier_follows_from_what_is_approved(documents: list[tuple[str, str]], tier: int) -> None:
    assert tier_from(documents) == tier


def test_tiers_are_numbered_from_zero_and_each_says_how_it_is_reached() -> None:
    assert [tier.number for tier in TIERS] == [0, 1, 2, 3]
    assert all(tier.how.endswith(".") for tier in TIERS)
    assert [next_tier(tier.number) for tier in TIERS] == [*TIERS[1:], None]
    assert HIGHEST == 3


@pytest.mark.django_db
def test_a_waiting_case_gives_no_tier() -> None:
    case = submitted(document_type="nin", number="12345678901")
    assert tier_of(person_id=case.person_id) == 0


@pytest.mark.django_db
def test_a_tier_is_read_in_one_query(django_assert_num_queries: Any) -> None:
    person, reviewer = make_person(), make_reviewer()
    approved(reviewer, person, document_type="nin", number="12345678901")
    approved(reviewer, person)
    with django_assert_num_queries(1):
        assert tier_of(person_id=person.pk) == 2


@pytest.mark.django_db
def test_other_peoples_approvals_give_no_tier() -> None:
    approved(make_reviewer(), document_type="nin", number="12345678901")
    assert tier_of(person_id=make_person().pk) == 0


@pytest.mark.django_db
def test_an_approval_ends_by_the_clock_before_any_task_has_run() -> None:
    person = make_person()
    case = approved(make_reviewer(), person, document_type="nin", number="12345678901")
    assert case.expires_at is not None
    assert tier_of(person_id=person.pk, at=case.expires_at - timedelta(seconds=1)) == 1
    assert tier_of(person_id=person.pk, at=case.expires_at) == 0
    assert standing_of(person_id=person.pk, at=case.expires_at - timedelta(seconds=1)) == (1, False)
    assert standing_of(person_id=person.pk, at=case.expires_at) == (0, False)
    Case.objects.filter(pk=case.pk).update(expires_at=timezone.now())
    assert Case.objects.get(pk=case.pk).state == "approved"
    assert tier_of(person_id=person.pk) == 0


@pytest.mark.django_db
def test_a_revoked_approval_gives_no_tier() -> None:
    person = make_person()
    case = approved(make_reviewer(), person, document_type="nin", number="12345678901")
    cases.revoke(case_id=case.pk, actor=make_approver(), reason_code="suspected_fraud", reason="Forged.")
    assert tier_of(person_id=person.pk) == 0


@pytest.mark.django_db
def test_a_revoked_approval_counts_until_a_newer_one_of_its_type_stands() -> None:
    person = make_person()
    assert not standing_of(person_id=person.pk).is_revoked
    for kind, state in (("nin", "approved"), ("passport", "expired")):
        Case.objects.create(
            person=person, document_type=kind, country="NG", state=state, expires_at=timezone.now()
        )
    assert not standing_of(person_id=person.pk).is_revoked
    Case.objects.create(
        person=person, document_type="passport", country="NG", state="revoked", reason_code="other"
    )
    assert standing_of(person_id=person.pk).is_revoked
    Case.objects.create(
        person=person, document_type="passport", country="NG", state="approved", expires_at=timezone.now()
    )
    assert not standing_of(person_id=person.pk).is_revoked
