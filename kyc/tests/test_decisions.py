"""What each decision leaves behind, to the last field: the case, its event, its checks and the metric."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from core.states import By
from kyc import cases, metrics
from kyc.cases import services
from kyc.cases.states import Event, Who
from kyc.cases.transitions import change, has_lapsed, lock_case, require
from kyc.errors import (
    CaseNotFound,
    ClaimedByAnother,
    ImagesMissing,
    NotAllowed,
    NotInThisState,
    ReasonMissing,
    WrongNumber,
)
from kyc.models import Case, Check, Side, State
from kyc.models.cases import BY_PEOPLE
from kyc.tests.people import (
    approved,
    doubted,
    in_review,
    make_approver,
    make_person,
    make_reviewer,
    picture,
    rejected,
    submission,
    submitted,
)

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0) + timedelta(minutes=1)
TICK = timedelta(microseconds=1)
LONG = "x" * 2001
CUT = "x" * 2000


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """It is NOW, and stays so until `clock(moment)`."""

    def stop_at(moment: datetime) -> None:
        monkeypatch.setattr(timezone, "now", lambda: moment)

    stop_at(NOW)
    return stop_at


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The decisions that are counted after the commit, each with its provider."""
    decisions: list[tuple[str, str]] = []
    monkeypatch.setattr(metrics, "record_decision", lambda name, provider: decisions.append((name, provider)))
    return decisions


def running_check(case: Case) -> Check:
    return Check.objects.create(case=case, provider="smile_id", reference=f"r-{case.pk}")


def last_event(case: Case) -> tuple[Any, ...]:
    event = case.events.last()
    assert event is not None
    return (event.event, event.actor_id, event.provider, event.reason_code, event.reason)


def decision_on(case: Case) -> tuple[Any, ...]:
    case.refresh_from_db()
    return (case.state, case.decided_by_id, case.decided_at, case.reason_code, case.reason)


# --- Reviewers ---


@pytest.mark.parametrize(
    ("decide", "state", "event", "code", "counts"),
    [
        (cases.approve, "approved", "approve", "", "approved"),
        (cases.reject, "rejected", "reject", "unreadable", "rejected"),
        (cases.ask_for_more, "draft", "ask_for_more", "unreadable", "asked_for_more"),
    ],
)
def test_decision_of_a_reviewer(
    decide: Callable[..., Case],
    state: str,
    event: str,
    code: str,
    counts: str,
    counted: list[tuple[str, str]],
    django_capture_on_commit_callbacks: Any,
    settings: Any,
) -> None:
    settings.KYC_APPROVAL_DAYS = 90
    reviewer = make_reviewer()
    case, other = in_review(reviewer), submitted()
    checks = running_check(case), running_check(other)
    words = {"reason": f"  {LONG}"} | ({"reason_code": code} if code else {})
    with django_capture_on_commit_callbacks(execute=True):
        returned = decide(case_id=case.pk, reviewer=reviewer, **words)
    is_final = state != "draft"
    assert returned.pk == case.pk
    assert decision_on(case) == (
        state,
        reviewer.pk if is_final else None,
        NOW if is_final else None,
        code,
        CUT,
    )
    assert (returned.state, returned.reason) == (state, CUT)
    assert case.expires_at == (NOW + timedelta(days=90) if state == "approved" else None)
    assert (case.claimed_by, case.claimed_until) == (None, None)
    assert last_event(case) == (event, reviewer.pk, "", code, CUT)
    assert [Check.objects.get(pk=check.pk).state for check in checks] == ["cancelled", "pending"]
    assert counted == [(counts, "")]


def test_claim_is_the_reviewers_for_the_minutes_of_the_setting_and_can_be_given_up(settings: Any) -> None:
    settings.KYC_CLAIM_MINUTES = 20
    reviewer = make_reviewer()
    case = submitted()
    claimed = cases.claim(case_id=case.pk, reviewer=reviewer)
    case.refresh_from_db()
    until = NOW + timedelta(minutes=20)
    for one in (claimed, case):
        assert (one.state, one.claimed_by_id, one.claimed_until) == ("in_review", reviewer.pk, until)
    assert last_event(case) == ("claim", reviewer.pk, "", "", "")
    with pytest.raises(NotInThisState):  # theirs already
        cases.claim(case_id=case.pk, reviewer=reviewer)
    returned = cases.release(case_id=case.pk, reviewer=reviewer)
    case.refresh_from_db()
    for one in (returned, case):
        assert (one.state, one.claimed_by_id, one.claimed_until) == ("submitted", None, None)
    assert last_event(case) == ("release", reviewer.pk, "", "", "")


@pytest.mark.parametrize(("after", "is_taken"), [(-TICK, False), (timedelta(0), True), (TICK, True)])
def test_claim_lapses_at_its_end(
    after: timedelta, is_taken: bool, clock: Callable[[datetime], None], settings: Any
) -> None:
    case = in_review(make_reviewer())
    clock(NOW + timedelta(minutes=settings.KYC_CLAIM_MINUTES) + after)
    assert has_lapsed(case, timezone.now()) == is_taken
    assert services.lapse_if_due(case.pk) == is_taken
    assert (last_event(case) == ("lapse", None, "", "", "")) == is_taken
    case.refresh_from_db()
    assert case.state == ("submitted" if is_taken else "in_review")
    other = make_reviewer()
    if is_taken:
        assert cases.claim(case_id=case.pk, reviewer=other).claimed_by_id == other.pk
    else:
        with pytest.raises(ClaimedByAnother):
            cases.claim(case_id=case.pk, reviewer=other)


def test_only_a_claim_lapses() -> None:
    case = submitted()
    assert has_lapsed(Case(state="in_review", claimed_until=None), NOW) is False
    assert has_lapsed(Case(state="submitted", claimed_until=NOW), NOW) is False
    assert services.lapse_if_due(case.pk) is False
    assert case.events.count() == 1


def test_claim_that_lapsed_is_taken_over_with_two_events(
    clock: Callable[[datetime], None], settings: Any
) -> None:
    first, second = make_reviewer(), make_reviewer()
    case = in_review(first)
    clock(NOW + timedelta(minutes=settings.KYC_CLAIM_MINUTES))
    cases.claim(case_id=case.pk, reviewer=second)
    events = case.events.values_list("event", "actor", "from_state", "to_state")
    assert list(events)[2:] == [
        ("lapse", None, "in_review", "submitted"),
        ("claim", second.pk, "submitted", "in_review"),
    ]


@pytest.mark.parametrize(
    ("reason_code", "reason", "fields"),
    [
        ("provider", " ", {"reason_code", "reason"}),
        ("unreadable", " ", {"reason"}),
        ("provider", "Blurred.", {"reason_code"}),
    ],
)
def test_what_a_refusal_lacks_is_named(reason_code: str, reason: str, fields: set[str]) -> None:
    said = {
        "reason_code": [f"Use one of {', '.join(BY_PEOPLE)}."],
        "reason": ["Write a text for the account holder."],
    }
    reviewer, approver = make_reviewer(), make_approver()
    case, standing = in_review(reviewer), approved(make_reviewer())
    attempts: list[Callable[[], object]] = [
        lambda: cases.reject(case_id=case.pk, reviewer=reviewer, reason_code=reason_code, reason=reason),
        lambda: cases.ask_for_more(
            case_id=case.pk, reviewer=reviewer, reason_code=reason_code, reason=reason
        ),
        lambda: cases.revoke(case_id=standing.pk, actor=approver, reason_code=reason_code, reason=reason),
    ]
    for attempt in attempts:
        with pytest.raises(ReasonMissing, match="needs a reason code and a text") as refused:
            attempt()
        assert refused.value.fields == {name: said[name] for name in fields}
    assert set(Case.objects.values_list("state", flat=True)) == {"in_review", "approved"}


# --- Approvers ---


def test_revocation_and_the_reviewer_may_not(
    counted: list[tuple[str, str]], django_capture_on_commit_callbacks: Any
) -> None:
    reviewer, approver = make_reviewer(), make_approver()
    case = approved(reviewer)
    words = {"reason_code": "suspected_fraud", "reason": f" {LONG}"}
    with pytest.raises(NotAllowed):
        cases.revoke(case_id=case.pk, actor=reviewer, **words)
    with django_capture_on_commit_callbacks(execute=True):
        returned = cases.revoke(case_id=case.pk, actor=approver, **words)
    assert returned.pk == case.pk
    assert decision_on(case) == ("revoked", approver.pk, NOW, "suspected_fraud", CUT)
    assert last_event(case) == ("revoke", approver.pk, "", "suspected_fraud", CUT)
    assert counted == [("revoked", "")]


def test_doubted_approval_is_upheld_as_the_approvers_own(
    counted: list[tuple[str, str]],
    django_capture_on_commit_callbacks: Any,
    clock: Callable[[datetime], None],
) -> None:
    reviewer, approver = make_reviewer(), make_approver()
    case = doubted(reviewer)
    case.refresh_from_db()
    assert (case.state, case.doubted_at, case.decided_by_id) == ("approved", NOW, reviewer.pk)
    assert last_event(case) == ("doubt", None, "manual", "", "Reported stolen.")
    clock(NOW + timedelta(hours=1))
    for empty in ("", " \n"):
        with pytest.raises(ReasonMissing, match=r"^This decision needs a reason\.$") as refused:
            cases.uphold(case_id=case.pk, actor=approver, reason=empty)
        assert refused.value.fields == {"reason": ["Write what you checked, for the record."]}
    with pytest.raises(NotAllowed):
        cases.uphold(case_id=case.pk, actor=reviewer, reason="Seen.")
    with django_capture_on_commit_callbacks(execute=True):
        returned = cases.uphold(case_id=case.pk, actor=approver, reason=f" {LONG}")
    assert returned.pk == case.pk
    assert decision_on(case) == ("approved", approver.pk, NOW, "", "")
    assert case.doubted_at is None
    assert last_event(case) == ("uphold", approver.pk, "", "", CUT)
    assert counted == [("upheld", "")]


def test_claim_and_doubt_end_with_the_next_step() -> None:
    case = doubted(make_reviewer())
    cases.revoke_by_provider(case_id=case.pk, provider="manual", reason="Stolen")
    case.refresh_from_db()
    assert (case.state, case.doubted_at) == ("revoked", None)


# --- Providers ---


@pytest.fixture
def asked() -> Case:
    """A case in the queue that Smile ID checks."""
    case = submitted()
    Case.objects.filter(pk=case.pk).update(provider="smile_id")
    return case


def test_decisions_of_the_provider(
    asked: Case, counted: list[tuple[str, str]], django_capture_on_commit_callbacks: Any
) -> None:
    words: dict[str, Any] = {"case_id": asked.pk, "provider": "smile_id", "reason": f" {LONG}"}
    with django_capture_on_commit_callbacks(execute=True):
        returned = [cases.decide_by_provider(approved=True, **words)]
        assert decision_on(asked) == ("approved", None, NOW, "", CUT)
        assert last_event(asked) == ("approve", None, "smile_id", "", CUT)
        returned.append(cases.doubt_by_provider(**words))
        assert decision_on(asked) == ("approved", None, NOW, "", CUT)
        assert asked.doubted_at == NOW
        assert last_event(asked) == ("doubt", None, "smile_id", "", CUT)
        returned.append(cases.revoke_by_provider(**words))
        assert decision_on(asked) == ("revoked", None, NOW, "provider", CUT)
        assert last_event(asked) == ("revoke", None, "smile_id", "provider", CUT)
    assert [case.pk for case in returned] == [asked.pk] * 3
    assert counted == [("approved", "smile_id"), ("revoked", "smile_id")]


def test_rejection_by_the_provider(
    asked: Case, counted: list[tuple[str, str]], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        returned = cases.decide_by_provider(
            case_id=asked.pk, provider="smile_id", approved=False, reason=f" {LONG}"
        )
    assert returned.pk == asked.pk
    assert decision_on(asked) == ("rejected", None, NOW, "provider", CUT)
    assert last_event(asked) == ("reject", None, "smile_id", "provider", CUT)
    assert counted == [("rejected", "smile_id")]


def test_another_provider_decides_nothing_and_reads_why(asked: Case) -> None:
    standing = approved(make_reviewer())
    attempts: list[Callable[[], object]] = [
        lambda: cases.decide_by_provider(case_id=asked.pk, provider="manual", approved=True, reason=""),
        lambda: cases.decide_by_provider(case_id=asked.pk, provider="manual", approved=False, reason=""),
        lambda: cases.revoke_by_provider(case_id=standing.pk, provider="smile_id", reason=""),
        lambda: cases.doubt_by_provider(case_id=standing.pk, provider="smile_id", reason=""),
    ]
    for attempt in attempts:
        with pytest.raises(NotAllowed, match="Another provider checks this case"):
            attempt()
    assert set(Case.objects.values_list("state", flat=True)) == {"submitted", "approved"}


# --- Time ---


@pytest.mark.parametrize(("after", "is_over"), [(-TICK, False), (timedelta(0), True), (TICK, True)])
def test_approval_expires_at_its_end(
    after: timedelta,
    is_over: bool,
    clock: Callable[[datetime], None],
    counted: list[tuple[str, str]],
    django_capture_on_commit_callbacks: Any,
) -> None:
    reviewer = make_reviewer()
    case = approved(reviewer)
    end = case.expires_at
    assert end is not None
    clock(end + after)
    with django_capture_on_commit_callbacks(execute=True):
        assert services.expire_if_due(case.pk) == is_over
    case.refresh_from_db()
    assert (case.state, case.expires_at) == ("expired" if is_over else "approved", end)
    assert (case.decided_by_id, case.reason) == (reviewer.pk, "The approval has expired." if is_over else "")
    if is_over:
        assert last_event(case) == ("expire", None, "", "", "The approval has expired.")
    assert counted == [("expired", "")] * is_over


def test_only_an_approval_expires() -> None:
    case = submitted()
    Case.objects.filter(pk=case.pk).update(expires_at=NOW - timedelta(days=1))
    assert services.expire_if_due(case.pk) is False
    assert case.events.count() == 1


def test_sweeps_return_how_many_they_ended() -> None:
    reviewer = make_reviewer()
    over, kept, lapsed = approved(reviewer), approved(reviewer), [in_review(reviewer), in_review(reviewer)]
    Case.objects.filter(pk=over.pk).update(expires_at=NOW)
    Case.objects.filter(pk__in=[case.pk for case in lapsed]).update(claimed_until=NOW)
    assert (cases.expire_due(), cases.lapse_claims()) == (1, 2)
    assert (cases.expire_due(), cases.lapse_claims()) == (0, 0)
    kept.refresh_from_db()
    assert kept.state == "approved"


def test_sweep_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "SWEPT_AT_ONCE", 1)
    reviewer = make_reviewer()
    for case in (approved(reviewer), approved(reviewer)):
        Case.objects.filter(pk=case.pk).update(expires_at=NOW)
    for case in (in_review(reviewer), in_review(reviewer)):
        Case.objects.filter(pk=case.pk).update(claimed_until=NOW)
    assert [cases.expire_due(), cases.lapse_claims()] == [1, 1]


def test_newer_approval_replaces_only_that_of_the_same_person_and_type(
    counted: list[tuple[str, str]],
    django_capture_on_commit_callbacks: Any,
    clock: Callable[[datetime], None],
) -> None:
    reviewer, person = make_reviewer(), make_person()
    earlier = approved(reviewer, person)
    others = [approved(reviewer), approved(reviewer, person, document_type="nin", number="12345678901")]
    clock(NOW + timedelta(days=1))
    newer = in_review(reviewer, person)
    with django_capture_on_commit_callbacks(execute=True):
        cases.approve(case_id=newer.pk, reviewer=reviewer)
    earlier.refresh_from_db()
    assert (earlier.state, earlier.expires_at) == ("expired", NOW + timedelta(days=1))
    assert last_event(earlier) == ("expire", None, "", "", "A newer approval replaced it.")
    assert set(Case.objects.filter(pk__in=[one.pk for one in others]).values_list("state", flat=True)) == {
        "approved"
    }
    assert counted == [("expired", ""), ("approved", "")]


# --- The person ---


def test_withdrawn_case_is_the_persons_draft_without_reason_check_and_images(asked: Case) -> None:
    other = submitted()
    checks = running_check(asked), running_check(other)
    Case.objects.filter(pk=asked.pk).update(reason_code="other", reason="Once more.")
    returned = cases.withdraw(person=asked.person, public_id=asked.public_id)
    asked.refresh_from_db()
    assert returned.pk == asked.pk
    assert (asked.state, asked.reason_code, asked.reason) == ("draft", "", "")
    assert last_event(asked) == ("withdraw", asked.person_id, "", "", "")
    assert [Check.objects.get(pk=check.pk).state for check in checks] == ["cancelled", "pending"]
    assert not asked.documents.filter(deleted_at=None).exists()
    assert other.documents.filter(deleted_at=None).count() == 2


def test_refusals_of_submissions_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses: list[str] = []
    monkeypatch.setattr(metrics, "record_submission", statuses.append)
    person = make_person()
    case = submitted(person)
    with pytest.raises(ImagesMissing):
        cases.submit(person=make_person(), **submission(images={}))
    with pytest.raises(NotInThisState):
        cases.resubmit(person=person, public_id=case.public_id, images={})
    assert statuses == ["refused", "refused"]


@pytest.mark.parametrize("gone", ["erased", "inactive"])
def test_closed_account_resubmits_nothing(gone: str) -> None:
    person = make_person()
    case = rejected(make_reviewer(), person)
    changes = {"erased_at": NOW} if gone == "erased" else {"is_active": False}
    User.objects.filter(pk=person.pk).update(**changes)
    with pytest.raises(NotAllowed, match="closed"):
        cases.resubmit(person=person, public_id=case.public_id, images={})
    case.refresh_from_db()
    assert case.state == "rejected"


def test_images_that_are_missing_are_named_before_the_others_are_processed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Image processing is the expensive part."""
    person = make_person()
    case = rejected(make_reviewer(), person)
    case.documents.filter(side="selfie").update(replaced_at=NOW)
    again: dict[str, Any] = {"person": person, "public_id": case.public_id}
    other = rejected(make_reviewer())
    reviewer, sender = make_reviewer(), make_person()
    draft = in_review(reviewer, sender)
    cases.ask_for_more(case_id=draft.pk, reviewer=reviewer, reason_code="other", reason="Once more.")
    card: dict[str, Any] = {"document_type": "voters_card", "number": "1" * 19}
    front = {Side.FRONT: picture()}
    monkeypatch.setattr("kyc.cases.submission.clean_all", lambda _: pytest.fail("processed"))
    attempts: list[tuple[Callable[[], object], set[str]]] = [
        (lambda: cases.submit(person=make_person(), **submission(images=front)), {"selfie"}),
        (lambda: cases.resubmit(images=front, **again), {"selfie"}),
        # The images of another document do not count.
        (lambda: cases.submit(person=sender, country="NG", images=front, **card), {"back", "selfie"}),
        (
            lambda: cases.resubmit(person=other.person, public_id=other.public_id, images=front, **card),
            {"back", "selfie"},
        ),
    ]
    for attempt, missing in attempts:
        with pytest.raises(ImagesMissing) as refused:
            attempt()
        assert set(refused.value.fields) == missing


def test_document_of_another_country_needs_its_number() -> None:
    case = rejected(make_reviewer())
    with pytest.raises(WrongNumber):
        cases.resubmit(person=case.person, public_id=case.public_id, country="GH", images={})
    case.refresh_from_db()
    assert (case.state, case.country) == ("rejected", "NG")


# --- Locks and rules ---


@pytest.mark.django_db(transaction=True)
def test_person_and_case_are_locked_and_rows_that_refer_to_them_can_be_inserted() -> None:
    case = submitted()
    with transaction.atomic():
        assert lock_case(case.pk).pk == case.pk
        with psycopg.connect(**connection.get_connection_params()) as other:
            for rows, pk in ((User.objects, case.person_id), (Case.objects, case.pk)):
                for strength, may_lock in (("KEY SHARE", True), ("NO KEY UPDATE", False)):
                    found = other.execute(
                        f"{rows.filter(pk=pk).values('pk').query} FOR {strength} SKIP LOCKED"
                    )
                    assert (found.fetchone() is not None) == may_lock, (rows.model, strength)
                other.rollback()
    with pytest.raises(CaseNotFound), transaction.atomic():
        lock_case(case.pk + 1)


def test_steps_of_the_person_and_of_an_approval_lock_the_case_as_well() -> None:
    def locks_the_case(step: Callable[..., Case], **words: Any) -> bool:
        with CaptureQueriesContext(connection) as queries:
            step(**words)
        texts = [query["sql"] for query in queries]
        assert not [text for text in texts if text.endswith("FOR UPDATE")]
        return any('FROM "kyc_case"' in text and text.endswith("FOR NO KEY UPDATE") for text in texts)

    person, reviewer = make_person(), make_reviewer()
    earlier, case = approved(reviewer, person), submitted(person)
    assert locks_the_case(cases.withdraw, person=person, public_id=case.public_id)
    case = in_review(reviewer, person)
    assert locks_the_case(cases.approve, case_id=case.pk, reviewer=reviewer)
    case = rejected(reviewer, person)
    assert locks_the_case(cases.resubmit, person=person, public_id=case.public_id, images={})
    earlier.refresh_from_db()
    assert earlier.state == "expired"


@pytest.mark.parametrize(
    ("by", "error"),
    [
        (By(Who.CLAIMER, 7), None),
        (By(Who.CLAIMER, 8), ClaimedByAnother),
        (By(Who.PERSON, 7), NotInThisState),
        (By(Who.REVOKER, 7), NotInThisState),
    ],
)
def test_step_is_for_those_whom_the_table_names_and_for_the_claimer_of_the_case(
    by: By, error: type[Exception] | None
) -> None:
    case = Case(state=State.IN_REVIEW, claimed_by_id=7, claimed_until=NOW)
    if error is None:
        assert require(case, Event.APPROVE, by).target == State.APPROVED
    else:
        with pytest.raises(error):
            require(case, Event.APPROVE, by)


def test_step_without_a_reason_keeps_that_of_the_case_and_notes_its_own() -> None:
    case = submitted()
    Case.objects.filter(pk=case.pk).update(reason_code="other", reason="Once more.")
    case.refresh_from_db()
    with transaction.atomic():
        reviewer = make_reviewer()
        by = By(Who.REVIEWER, reviewer.pk)
        change(case, Event.CLAIM, by, note="A note.", claimed_by_id=reviewer.pk, claimed_until=NOW)
    case.refresh_from_db()
    assert (case.reason_code, case.reason) == ("other", "Once more.")
    assert last_event(case) == ("claim", reviewer.pk, "", "", "A note.")
