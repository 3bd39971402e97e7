"""Tests each service of cases when it is allowed; test_transitions.py tests refusals."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from core.request_id import request_id
from kyc import cases, documents
from kyc.cases import selectors
from kyc.documents.retention import erase_case
from kyc.errors import (
    CaseNotFound,
    CaseOpen,
    ClaimedByAnother,
    DuplicateNumber,
    ImagesMissing,
    NotAllowed,
    NotInThisState,
    OwnCase,
    ReasonMissing,
    WrongNumber,
)
from kyc.models import Case, CaseEvent, Document, Side, State
from kyc.tests.people import (
    REFUSAL,
    approved,
    case_in,
    in_review,
    make_approver,
    make_operator,
    make_person,
    make_reviewer,
    new_number,
    picture,
    pictures,
    rejected,
    submission,
    submitted,
)

pytestmark = pytest.mark.django_db


def everything(case: Case) -> Any:
    """The case and its history; to show that a refusal changed nothing."""
    row = Case.objects.filter(pk=case.pk).values().get()
    return row, list(case.events.values()), list(case.documents.values())


def test_a_submission_is_a_case_in_the_queue_with_its_images_and_an_event() -> None:
    person = make_person()
    token = request_id.set("request-0123456789")
    case = cases.submit(person=person, **submission(number="a 1234-5678"))
    request_id.reset(token)
    case.refresh_from_db()
    assert (case.state, case.version, case.provider) == (State.SUBMITTED, 1, "manual")
    assert selectors.number_of(case) == "A12345678"
    assert b"A12345678" not in bytes(case.number_encrypted)
    assert selectors.masked_number(case) == "•••••••678"
    assert {image.side for image in case.documents.all()} == {"front", "selfie"}
    event = CaseEvent.objects.get(case=case)
    assert (event.event, event.from_state, event.to_state) == ("submit", "draft", "submitted")
    assert (event.actor, event.request_id) == (person, "request-0123456789")


def test_while_a_case_waits_another_submission_is_refused_and_names_it() -> None:
    person = make_person()
    case = submitted(person)
    before = everything(case)
    with pytest.raises(CaseOpen, match=str(case.public_id)):
        cases.submit(person=person, **submission())
    assert everything(case) == before
    assert Case.objects.count() == 1


def test_a_missing_image_is_named_and_nothing_is_stored() -> None:
    with pytest.raises(ImagesMissing) as refusal:
        cases.submit(
            person=make_person(),
            **submission(document_type="drivers_licence", number="ABC123456", images={Side.FRONT: picture()}),
        )
    assert set(refusal.value.fields) == {"back", "selfie"}
    assert (Case.objects.count(), Document.objects.count()) == (0, 0)


def test_who_has_left_submits_nothing() -> None:
    person = make_person()
    type(person).objects.filter(pk=person.pk).update(erased_at=timezone.now())
    with pytest.raises(NotAllowed):
        cases.submit(person=person, **submission())
    assert (Case.objects.count(), Document.objects.count()) == (0, 0)


def test_a_withdrawn_case_is_a_draft_without_images_and_can_be_submitted_again() -> None:
    person = make_person()
    case = submitted(person)
    cases.withdraw(person=person, public_id=case.public_id)
    assert case.documents.filter(deleted_at=None).count() == 0
    with pytest.raises(ImagesMissing):
        cases.submit(person=person, **submission(images={}))
    again = cases.submit(person=person, **submission(document_type="nin", number="12345678901"))
    assert (again.pk, again.state, again.document_type) == (case.pk, State.SUBMITTED, "nin")
    assert list(again.events.values_list("event", flat=True)) == ["submit", "withdraw", "submit"]


def test_withdrawing_frees_the_reviewer() -> None:
    person = make_person()
    case = in_review(make_reviewer(), person)
    case = cases.withdraw(person=person, public_id=case.public_id)
    assert (case.state, case.claimed_by, case.claimed_until) == (State.DRAFT, None, None)


def test_a_case_sent_back_keeps_the_images_that_are_not_replaced() -> None:
    reviewer, person = make_reviewer(), make_person()
    case = in_review(reviewer, person)
    cases.ask_for_more(case_id=case.pk, reviewer=reviewer, **REFUSAL)
    case.refresh_from_db()
    assert (case.state, case.reason_code, case.reason) == (State.DRAFT, *REFUSAL.values())
    again = cases.submit(person=person, **submission(images={Side.FRONT: picture("back")}))
    assert (again.state, again.reason_code, again.reason) == (State.SUBMITTED, "", "")
    current = again.documents.filter(replaced_at=None)
    assert [image.side for image in current] == ["selfie", "front"]
    assert again.documents.count() == 3


def test_a_rejected_case_comes_back_with_what_had_to_be_better() -> None:
    reviewer, person = make_reviewer(), make_person()
    case = rejected(reviewer, person, number="A00000001")
    assert (case.decided_by, case.reason) == (reviewer, REFUSAL["reason"])
    again = cases.resubmit(person=person, public_id=case.public_id, images={Side.FRONT: picture("back")})
    assert (again.state, again.decided_at, again.decided_by, again.reason) == (
        State.SUBMITTED,
        None,
        None,
        "",
    )
    assert selectors.number_of(again) == "A00000001"
    assert again.documents.filter(replaced_at=None).count() == 2


def test_a_corrected_number_keeps_the_images() -> None:
    person = make_person()
    case = rejected(make_reviewer(), person)
    again = cases.resubmit(person=person, public_id=case.public_id, number="B00000002", images={})
    assert selectors.number_of(again) == "B00000002"
    assert again.documents.filter(replaced_at=None).count() == 2


def test_another_document_needs_its_number_and_all_its_images() -> None:
    person = make_person()
    case = rejected(make_reviewer(), person)
    before = everything(case)
    again_as = partial(cases.resubmit, person=person, public_id=case.public_id, document_type="voters_card")
    with pytest.raises(WrongNumber):
        again_as(images=pictures("voters_card"))
    with pytest.raises(ImagesMissing) as refusal:
        again_as(number="1" * 19, images={Side.BACK: picture("back")})
    assert set(refusal.value.fields) == {"front", "selfie"}
    assert everything(case) == before
    again = again_as(number="1" * 19, images=pictures("voters_card"))
    assert again.documents.filter(replaced_at=None).count() == 3


def test_images_of_another_type_of_document_no_longer_count() -> None:
    person = make_person()
    case = rejected(make_reviewer(), person)
    images = pictures("nin")
    again = cases.resubmit(
        person=person, public_id=case.public_id, document_type="nin", number="12345678901", images=images
    )
    assert [image.side for image in again.documents.filter(replaced_at=None)] == ["selfie"]


def test_a_rejected_case_stays_rejected_while_another_is_open() -> None:
    person = make_person()
    case = rejected(make_reviewer(), person)
    other = submitted(person)
    before = everything(case)
    with pytest.raises(CaseOpen, match=str(other.public_id)):
        cases.resubmit(person=person, public_id=case.public_id, images={})
    assert everything(case) == before


def test_what_was_erased_is_not_submitted_again() -> None:
    person = make_person()
    case = rejected(make_reviewer(), person)
    Case.objects.filter(pk=case.pk).update(erased_at=timezone.now(), number_encrypted=b"", number_hash="")
    before = everything(case)
    with pytest.raises(NotInThisState, match="in a new case"):
        cases.resubmit(person=person, public_id=case.public_id, images=pictures())
    assert everything(case) == before


def test_case_of_another_user_is_not_found() -> None:
    case = submitted()
    before = everything(case)
    stranger = make_person()
    with pytest.raises(CaseNotFound):
        cases.withdraw(person=stranger, public_id=case.public_id)
    with pytest.raises(CaseNotFound):
        cases.resubmit(person=stranger, public_id=case.public_id, images={})
    assert everything(case) == before


def test_a_claim_is_one_reviewers_for_its_time(settings: Any) -> None:
    reviewer = make_reviewer()
    before = timezone.now()
    case = in_review(reviewer)
    assert (case.state, case.claimed_by_id) == (State.IN_REVIEW, reviewer.pk)
    assert case.claimed_until is not None
    assert case.claimed_until - before >= timedelta(minutes=settings.KYC_CLAIM_MINUTES)
    with pytest.raises(ClaimedByAnother, match=f"{case.claimed_until:%H:%M} UTC"):
        cases.claim(case_id=case.pk, reviewer=make_reviewer())
    with pytest.raises(ClaimedByAnother):
        cases.approve(case_id=case.pk, reviewer=make_reviewer())
    case.refresh_from_db()
    assert case.claimed_by_id == reviewer.pk


def test_a_lapsed_claim_may_be_taken_over() -> None:
    case = in_review(make_reviewer())
    Case.objects.filter(pk=case.pk).update(claimed_until=timezone.now())
    other = make_reviewer()
    case = cases.claim(case_id=case.pk, reviewer=other)
    assert case.claimed_by_id == other.pk
    assert list(case.events.values_list("event", "actor")) == [
        ("submit", case.person_id),
        ("claim", case.events.all()[1].actor_id),
        ("lapse", None),
        ("claim", other.pk),
    ]


def test_the_sweep_puts_lapsed_claims_back_and_no_others() -> None:
    reviewer = make_reviewer()
    lapsed, kept = in_review(reviewer), in_review(reviewer)
    Case.objects.filter(pk=lapsed.pk).update(claimed_until=timezone.now())
    assert (cases.lapse_claims(), cases.lapse_claims()) == (1, 0)
    lapsed.refresh_from_db()
    kept.refresh_from_db()
    assert (lapsed.state, lapsed.claimed_by, kept.state) == (State.SUBMITTED, None, State.IN_REVIEW)


def test_a_released_case_keeps_its_place_in_the_queue() -> None:
    reviewer = make_reviewer()
    first, second = submitted(), submitted()
    cases.claim(case_id=first.pk, reviewer=reviewer)
    cases.release(case_id=first.pk, reviewer=reviewer)
    assert [case.pk for case in selectors.waiting()] == [first.pk, second.pk]


def test_an_approval_has_an_end_and_a_decider(settings: Any) -> None:
    reviewer = make_reviewer()
    case = approved(reviewer)
    assert (case.state, case.decided_by_id) == (State.APPROVED, reviewer.pk)
    assert case.decided_at is not None
    assert case.expires_at is not None
    assert (case.expires_at - case.decided_at).days == settings.KYC_APPROVAL_DAYS


def test_a_newer_approval_of_the_same_type_ends_the_earlier() -> None:
    reviewer, person = make_reviewer(), make_person()
    earlier = approved(reviewer, person)
    other_type = approved(reviewer, person, document_type="nin", number="12345678901")
    newer = approved(reviewer, person)
    states = dict(Case.objects.values_list("pk", "state"))
    assert states == {earlier.pk: "expired", other_type.pk: "approved", newer.pk: "approved"}
    earlier.refresh_from_db()
    assert earlier.expires_at is not None
    assert earlier.expires_at <= timezone.now()


def test_a_number_that_another_account_claims_is_flagged_on_both() -> None:
    number = new_number()
    one, two = submitted(number=number), submitted(number=number.lower())
    assert [case.pk for case in selectors.same_number(one)] == [two.pk]
    assert [case.pk for case in selectors.same_number(two)] == [one.pk]
    submitted()
    flagged = selectors.with_duplicate_flag(Case.objects.order_by("pk"))
    assert [case.is_duplicate for case in flagged] == [True, True, False]  # type: ignore[attr-defined]


@pytest.mark.parametrize("state", [State.EXPIRED, State.REVOKED])
def test_a_claim_that_was_good_once_is_flagged(state: State) -> None:
    known = case_in(state, person=make_person(), reviewer=make_reviewer(), approver=make_approver())
    again = submitted(number=selectors.number_of(known))
    assert [case.pk for case in selectors.same_number(again)] == [known.pk]


def test_a_claim_that_was_refused_as_a_fraud_is_flagged_also_when_it_is_erased() -> None:
    reviewer, number = make_reviewer(), new_number()
    fraud = in_review(reviewer, number=number)
    cases.reject(case_id=fraud.pk, reviewer=reviewer, reason_code="suspected_fraud", reason="Forged.")
    erase_case(fraud.pk, "retention time over")
    again = submitted(number=number)
    assert [case.pk for case in selectors.same_number(again)] == [fraud.pk]


@pytest.mark.parametrize("reason_code", ["suspected_fraud", "duplicate"])
def test_the_number_of_a_fraud_can_not_be_changed_into_another(reason_code: str) -> None:
    reviewer, person, number = make_reviewer(), make_person(), new_number()
    fraud = in_review(reviewer, person, number=number)
    cases.reject(case_id=fraud.pk, reviewer=reviewer, reason_code=reason_code, reason="Not yours.")
    for changes in ({"number": new_number()}, {}):
        with pytest.raises(NotInThisState, match="submit a document in a new case"):
            cases.resubmit(person=person, public_id=fraud.public_id, images=pictures(), **changes)
    anew = submitted(person)
    fraud.refresh_from_db()
    assert (fraud.state, fraud.reason_code, anew.state) == ("rejected", reason_code, "submitted")
    assert [case.pk for case in selectors.same_number(submitted(number=number))] == [fraud.pk]


def test_the_same_person_or_a_claim_that_was_refused_is_no_duplicate() -> None:
    reviewer, person, number = make_reviewer(), make_person(), new_number()
    rejected(reviewer, number=number)
    approved(reviewer, person, number=number)
    again = submitted(person, number=number)
    assert not selectors.same_number(again).exists()


def test_approving_a_duplicate_needs_a_reason() -> None:
    reviewer, number = make_reviewer(), new_number()
    submitted(number=number)
    case = in_review(reviewer, number=number)
    before = everything(case)
    with pytest.raises(DuplicateNumber):
        cases.approve(case_id=case.pk, reviewer=reviewer, reason=" \n")
    assert everything(case) == before
    case = cases.approve(case_id=case.pk, reviewer=reviewer, reason="The other account was lost.")
    assert (case.state, case.reason) == (State.APPROVED, "The other account was lost.")


@pytest.mark.parametrize(
    ("reason", "missing"),
    [
        ({"reason_code": "", "reason": "x"}, {"reason_code"}),
        ({"reason_code": "because", "reason": "x"}, {"reason_code"}),
        ({"reason_code": "provider", "reason": "x"}, {"reason_code"}),
        ({"reason_code": "other", "reason": "  "}, {"reason"}),
    ],
)
def test_a_refusal_without_a_reason_is_refused(reason: dict[str, str], missing: set[str]) -> None:
    reviewer = make_reviewer()
    case = in_review(reviewer)
    before = everything(case)
    for decide in (cases.reject, cases.ask_for_more):
        with pytest.raises(ReasonMissing) as refusal:
            decide(case_id=case.pk, reviewer=reviewer, **reason)
        assert set(refusal.value.fields) == missing
    assert everything(case) == before


def test_own_case_cannot_be_decided_even_by_a_superuser() -> None:
    person = make_person()
    person.is_staff = person.is_superuser = True
    person.save()
    case = submitted(person)
    before = everything(case)
    for decide in (cases.claim, cases.release, cases.approve):
        with pytest.raises(OwnCase):
            decide(case_id=case.pk, reviewer=person)
    for refuse in (cases.reject, cases.ask_for_more):
        with pytest.raises(OwnCase):
            refuse(case_id=case.pk, reviewer=person, **REFUSAL)
    with pytest.raises(OwnCase):
        cases.revoke(case_id=case.pk, actor=person, **REFUSAL)
    assert everything(case) == before


@pytest.mark.parametrize("role", ["viewer", "responder", "finance", "approver"])
def test_only_reviewers_review(role: str) -> None:
    case = submitted()
    before = everything(case)
    with pytest.raises(NotAllowed):
        cases.claim(case_id=case.pk, reviewer=make_operator(role))
    assert everything(case) == before


def test_only_approvers_revoke() -> None:
    reviewer = make_reviewer()
    case = approved(reviewer)
    before = everything(case)
    with pytest.raises(NotAllowed):
        cases.revoke(case_id=case.pk, actor=reviewer, **REFUSAL)
    assert everything(case) == before
    approver = make_approver()
    case = cases.revoke(case_id=case.pk, actor=approver, **REFUSAL)
    assert (case.state, case.decided_by_id, case.reason_code) == ("revoked", approver.pk, "unreadable")


def test_a_case_that_is_not_there_is_not_found() -> None:
    with pytest.raises(CaseNotFound):
        cases.claim(case_id=4711, reviewer=make_reviewer())


def test_a_provider_decides_while_no_reviewer_has_claimed() -> None:
    yes, no, claimed = submitted(), submitted(), in_review(make_reviewer())
    cases.decide_by_provider(case_id=yes.pk, provider="manual", approved=True, reason="Exact match")
    cases.decide_by_provider(case_id=no.pk, provider="manual", approved=False, reason="No match")
    with pytest.raises(NotInThisState):
        cases.decide_by_provider(case_id=claimed.pk, provider="manual", approved=True, reason="")
    rows = list(Case.objects.order_by("pk").values_list("state", "reason_code"))
    assert rows == [("approved", ""), ("rejected", "provider"), ("in_review", "")]
    assert not Case.objects.filter(decided_by__isnull=False).exists()


def test_a_provider_approves_no_duplicate() -> None:
    number = new_number()
    one, two = submitted(number=number), submitted(number=number)
    for case in (one, two):
        before = everything(case)
        with pytest.raises(DuplicateNumber):
            cases.decide_by_provider(case_id=case.pk, provider="manual", approved=True, reason="Match")
        assert everything(case) == before


def test_another_provider_than_the_one_asked_decides_nothing() -> None:
    case, standing = submitted(), approved(make_reviewer())
    before = everything(case), everything(standing)
    with pytest.raises(NotAllowed):
        cases.decide_by_provider(case_id=case.pk, provider="smile_id", approved=True, reason="")
    with pytest.raises(NotAllowed):
        cases.revoke_by_provider(case_id=standing.pk, provider="smile_id", reason="")
    assert (everything(case), everything(standing)) == before


def test_a_provider_takes_an_approval_back() -> None:
    case = approved(make_reviewer())
    case = cases.revoke_by_provider(case_id=case.pk, provider="manual", reason="Reported stolen")
    assert (case.state, case.reason_code, case.decided_by) == ("revoked", "provider", None)
    assert case.events.last().provider == "manual"  # type: ignore[union-attr]


def test_approvals_end_when_their_time_is_over() -> None:
    reviewer = make_reviewer()
    due, kept = approved(reviewer), approved(reviewer)
    Case.objects.filter(pk=due.pk).update(expires_at=timezone.now())
    assert (cases.expire_due(), cases.expire_due()) == (1, 0)
    due.refresh_from_db()
    kept.refresh_from_db()
    assert (due.state, kept.state) == (State.EXPIRED, State.APPROVED)


def test_a_refused_submission_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored before the transaction, deleted when it fails."""
    from django.core.files.storage import storages

    def fail(*, case: Case) -> None:
        raise RuntimeError(case.pk)

    monkeypatch.setattr("kyc.providers.plan_check", fail)
    with pytest.raises(RuntimeError):
        submitted()
    assert (Case.objects.count(), Document.objects.count()) == (0, 0)
    folders, files = storages["kyc"].listdir("")
    left = [name for year in folders for month in storages["kyc"].listdir(year)[0] for name in (month,)]
    assert [storages["kyc"].listdir(f"{folders[0]}/{month}")[1] for month in left] == [[]] * len(left)
    assert files == []


def test_what_was_stored_can_be_read_again() -> None:
    case = submitted()
    assert documents.read(case.documents.get(side="front")).startswith(b"\xff\xd8")
