"""Tests concurrent actions with real connections: one succeeds, the other gets an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from threading import Barrier, Thread

import pytest
from django.db import connection

from kyc import cases
from kyc.cases import selectors
from kyc.errors import CaseOpen, ClaimedByAnother, DuplicateNumber, NotInThisState
from kyc.models import Case, CaseEvent, Document, State
from kyc.tests.people import (
    in_review,
    make_person,
    make_reviewer,
    new_number,
    submission,
    submitted,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 4


def at_once(*actions: Callable[[], object]) -> list[object]:
    """What each of them returned or raised."""
    outcomes: list[object] = [None] * len(actions)
    start = Barrier(len(actions))

    def run(number: int, action: Callable[[], object]) -> None:
        try:
            start.wait()
            outcomes[number] = action()
        except Exception as error:  # noqa: BLE001  (the test looks at it)
            outcomes[number] = error
        finally:
            connection.close()

    threads = [Thread(target=run, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def kinds(outcomes: list[object]) -> Counter[type]:
    return Counter(type(outcome) for outcome in outcomes)


def test_of_several_reviewers_one_claims() -> None:
    reviewers = [make_reviewer() for _ in range(4)]
    for _ in range(ROUNDS):
        case = submitted()
        outcomes = at_once(
            *(partial(cases.claim, case_id=case.pk, reviewer=reviewer) for reviewer in reviewers)
        )
        assert kinds(outcomes) == {Case: 1, ClaimedByAnother: 3}
        assert case.events.filter(event="claim").count() == 1


def test_an_approval_and_a_withdrawal_are_not_both() -> None:
    reviewer = make_reviewer()
    for _ in range(ROUNDS):
        person = make_person()
        case = in_review(reviewer, person)
        outcomes = at_once(
            partial(cases.approve, case_id=case.pk, reviewer=reviewer),
            partial(cases.withdraw, person=person, public_id=case.public_id),
        )
        assert kinds(outcomes) == {Case: 1, NotInThisState: 1}
        case.refresh_from_db()
        approved = case.state == State.APPROVED
        assert approved or case.state == State.DRAFT
        assert case.documents.filter(deleted_at=None).exists() == approved
        assert case.version == case.events.count() == 3


@pytest.mark.usefixtures("in_several_processes")
def test_of_several_submissions_of_one_person_one_is_a_case() -> None:
    for _ in range(ROUNDS):
        person = make_person()
        outcomes = at_once(*[partial(cases.submit, person=person, **submission())] * 3)
        assert kinds(outcomes) == {Case: 1, CaseOpen: 2}
        case = Case.objects.get(person=person)
        assert (case.version, case.documents.count()) == (1, 2)
    assert Document.objects.count() == 2 * ROUNDS


@pytest.mark.usefixtures("in_several_processes")
def test_of_several_resubmissions_one_is_taken() -> None:
    reviewer, person = make_reviewer(), make_person()
    case = in_review(reviewer, person)
    cases.reject(case_id=case.pk, reviewer=reviewer, reason_code="other", reason="Once more.")
    images = submission()["images"]
    again = partial(cases.resubmit, person=person, public_id=case.public_id, images=images)
    assert kinds(at_once(again, again, again)) == {Case: 1, NotInThisState: 2}
    assert case.documents.filter(replaced_at=None).count() == 2
    assert case.documents.count() == 4


@pytest.mark.usefixtures("in_several_processes")
def test_two_people_with_one_number_are_both_stored_and_both_flagged() -> None:
    number = new_number()
    one, two = make_person(), make_person()
    outcomes = at_once(
        partial(cases.submit, person=one, **submission(number=number)),
        partial(cases.submit, person=two, **submission(number=number)),
    )
    assert kinds(outcomes) == {Case: 2}
    assert all(selectors.same_number(case).count() == 1 for case in Case.objects.all())


def test_two_reviewers_do_not_approve_one_number_twice() -> None:
    """Both are claims, so both need a reason."""
    first, second = make_reviewer(), make_reviewer()
    for _ in range(ROUNDS):
        number = new_number()
        one, two = in_review(first), in_review(second)
        Case.objects.filter(pk__in=[one.pk, two.pk]).update(number_hash=number)
        outcomes = at_once(
            partial(cases.approve, case_id=one.pk, reviewer=first),
            partial(cases.approve, case_id=two.pk, reviewer=second),
        )
        assert kinds(outcomes) == {DuplicateNumber: 2}
        assert Case.objects.filter(number_hash=number, state=State.IN_REVIEW).count() == 2


def test_two_approvals_of_one_persons_documents_wait_for_each_other() -> None:
    """One person has one open case, so the earlier is approved by hand here; the newer ends it."""
    reviewer, person = make_reviewer(), make_person()
    earlier = in_review(reviewer, person)
    cases.approve(case_id=earlier.pk, reviewer=reviewer)
    newer = in_review(reviewer, person)
    Case.objects.filter(pk=earlier.pk).update(expires_at=earlier.created_at)
    outcomes = at_once(partial(cases.approve, case_id=newer.pk, reviewer=reviewer), cases.expire_due)
    assert Exception not in {type(outcome).__mro__[-2] for outcome in outcomes}
    assert dict(Case.objects.values_list("pk", "state")) == {earlier.pk: "expired", newer.pk: "approved"}
    assert CaseEvent.objects.filter(case=earlier, event="expire").count() == 1


def test_sweeps_at_once_lapse_a_claim_once() -> None:
    case = in_review(make_reviewer())
    Case.objects.filter(pk=case.pk).update(claimed_until=case.created_at)
    assert sorted(map(str, at_once(cases.lapse_claims, cases.lapse_claims))) == ["0", "1"]
    assert case.events.filter(event="lapse").count() == 1
