"""Tests the effect of verdicts on a check, its case and its callbacks, without a provider."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from kyc import cases
from kyc.cases.selectors import number_of
from kyc.models import Check, ProviderEvent
from kyc.providers import claim, registry, work
from kyc.providers.base import Result, Verdict
from kyc.providers.claim import Claim
from kyc.providers.tests.conftest import a_day_passes, make_due, state_of, submitted
from kyc.tests.people import REFUSAL, make_reviewer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("smile")]
APPROVED, REJECTED, UNCLEAR, PENDING = Result.APPROVED, Result.REJECTED, Result.UNCLEAR, Result.PENDING


def sent(**changes: Any) -> Check:
    """A check that the provider has, without asking one."""
    check = submitted(**changes)
    Check.objects.filter(pk=check.pk).update(state=Check.State.SENT, provider_reference="job-1")
    check.refresh_from_db()
    return check


def claimed(check: Check) -> Claim:
    make_due()
    Check.objects.filter(pk=check.pk).update(lease_until=None)
    taken = claim.claim()
    assert taken is not None
    assert taken.row.pk == check.pk
    return taken


def decide(taken: Claim, result: Result, text: str = "Text", **more: Any) -> None:
    work.record(taken, registry.get("smile_id"), Verdict(result, text, **more))


def called_back(check: Check) -> ProviderEvent:
    """A callback about the check, due now."""
    return ProviderEvent.objects.create(
        provider="smile_id",
        event_id=f"event-{ProviderEvent.objects.count()}",
        body=b"{}",
        check_row=check,
        signature_ok=True,
        next_attempt_at=timezone.now(),
    )


def hear(check: Check, result: Result, text: str = "Text") -> ProviderEvent:
    """The provider calls back and, when it is asked, answers with `result`."""
    event = called_back(check)
    decide(claimed(check), result, text)
    event.refresh_from_db()
    return event


def review(check: Check, *, approve: bool) -> None:
    reviewer = make_reviewer()
    cases.claim(case_id=check.case_id, reviewer=reviewer)
    if approve:
        cases.approve(case_id=check.case_id, reviewer=reviewer)
    else:
        cases.reject(case_id=check.case_id, reviewer=reviewer, **REFUSAL)


def doubts_of(check: Check) -> int:
    return check.case.events.filter(event="doubt").count()


def test_verdict_of_a_worker_that_lost_its_lease_changes_nothing() -> None:
    check = sent()
    slow = claimed(check)
    decide(claimed(check), PENDING)
    before = Check.objects.values().get(pk=check.pk)
    decide(slow, REJECTED)
    assert Check.objects.values().get(pk=check.pk) == before
    assert state_of(check) == ("sent", "", "submitted")


def test_result_is_written_into_the_check() -> None:
    check = sent()
    Check.objects.filter(pk=check.pk).update(last_error="Smile ID answered 503.")
    before = timezone.now()
    decide(claimed(check), APPROVED, provider_reference="job-2" + "x" * 100)
    check.refresh_from_db()
    assert (check.result_text, check.last_error) == ("Text. The case was approved.", "")
    assert (check.next_attempt_at, check.lease_until) == (None, None)
    assert check.provider_reference == "job-2" + "x" * 95
    assert check.finished_at is not None
    assert check.finished_at >= before


def test_result_without_a_reference_keeps_the_known_one() -> None:
    check = sent()
    decide(claimed(check), REJECTED)
    check.refresh_from_db()
    assert (check.provider_reference, check.result_text) == ("job-1", "Text. The case was rejected.")


def test_text_of_a_result_is_bounded_and_holds_no_key(settings: Any) -> None:
    check = sent()
    decide(claimed(check), UNCLEAR, settings.SMILE_ID_API_KEY + "y" * 400)
    check.refresh_from_db()
    said = check.result_text.removesuffix(". A reviewer decides.")
    assert settings.SMILE_ID_API_KEY not in said
    assert (len(said), said[-200:]) == (300, "y" * 200)


def test_pending_verdict_is_asked_for_again_and_given_up_after_a_day() -> None:
    check = sent()
    before = timezone.now()
    decide(claimed(check), PENDING, "Still at work.")
    check.refresh_from_db()
    assert (check.state, check.last_error, check.lease_until) == ("sent", "Still at work.", None)
    assert check.next_attempt_at is not None
    assert check.next_attempt_at > before
    a_day_passes()
    decide(claimed(check), PENDING, "Still at work.")
    check.refresh_from_db()
    assert (check.state, check.last_error) == ("failed", "Given up: Still at work.")


def test_pending_verdict_after_a_result_takes_nothing_back() -> None:
    check = sent()
    decide(claimed(check), APPROVED)
    a_day_passes()
    event = hear(check, PENDING)
    check.refresh_from_db()
    assert state_of(check) == ("done", "approved", "approved")
    assert (check.last_error, check.next_attempt_at, check.lease_until) == ("", None, None)
    assert (event.state, event.reason) == ("pending", "Nothing new yet. It will be requested once more.")


def test_callback_that_brings_nothing_is_looked_at_once_more_a_minute_later() -> None:
    check = sent()
    decide(claimed(check), REJECTED)
    before = timezone.now()
    event = hear(check, REJECTED)
    assert event.next_attempt_at is not None
    assert before + timedelta(minutes=1) <= event.next_attempt_at <= timezone.now() + timedelta(minutes=1)
    assert (event.state, event.attempt_count) == ("pending", 1)
    decide(claimed(check), REJECTED)
    event.refresh_from_db()
    assert (event.state, event.reason, event.attempt_count) == ("ignored", "Nothing new.", 2)
    assert event.processed_at is not None
    assert event.processed_at >= before
    check.refresh_from_db()
    assert check.lease_until is None


def test_verdict_about_a_replaced_check_decides_nothing() -> None:
    first = sent()
    decide(claimed(first), REJECTED)
    person = first.case.person
    cases.resubmit(person=person, public_id=first.case.public_id, images={})
    Check.objects.exclude(pk=first.pk).update(next_attempt_at=None)
    event = called_back(first)
    taken = claim.claim()
    assert taken is not None
    decide(taken, APPROVED)
    event.refresh_from_db()
    assert state_of(first) == ("done", "approved", "submitted")
    assert event.reason == "Nothing was changed, because the check is no longer current."


def test_verdict_about_a_cancelled_check_keeps_when_it_ended() -> None:
    check = sent()
    cases.withdraw(person=check.case.person, public_id=check.case.public_id)
    check.refresh_from_db()
    ended = check.finished_at
    hear(check, APPROVED)
    check.refresh_from_db()
    assert state_of(check) == ("cancelled", "approved", "draft")
    assert check.finished_at == ended


@pytest.mark.parametrize("result", [UNCLEAR, APPROVED])
def test_approval_by_people_is_not_doubted_by_a_provider_that_does_not_reject(result: Result) -> None:
    check = sent()
    Check.objects.filter(pk=check.pk).update(state=Check.State.FAILED)
    review(check, approve=True)
    event = hear(check, result)
    assert (state_of(check)[2], doubts_of(check)) == ("approved", 0)
    assert event.reason == "A reviewer decides."


def test_approval_by_people_is_doubted_when_the_provider_rejects() -> None:
    check = sent()
    Check.objects.filter(pk=check.pk).update(state=Check.State.FAILED)
    review(check, approve=True)
    for _ in range(2):
        hear(check, REJECTED)
        assert (state_of(check), doubts_of(check)) == (("done", "rejected", "approved"), 1)


def test_approval_by_the_provider_is_doubted_when_it_becomes_less_sure_and_revoked_when_it_rejects() -> None:
    check = sent()
    decide(claimed(check), APPROVED)
    hear(check, UNCLEAR)
    assert (state_of(check), doubts_of(check)) == (("done", "unclear", "approved"), 1)
    event = hear(check, REJECTED)
    assert (state_of(check), doubts_of(check)) == (("done", "rejected", "revoked"), 1)
    assert event.reason == "The approval was revoked."


def test_rejection_by_people_is_neither_doubted_nor_revoked() -> None:
    check = sent()
    Check.objects.filter(pk=check.pk).update(state=Check.State.FAILED)
    review(check, approve=False)
    event = hear(check, REJECTED)
    assert (state_of(check)[2], doubts_of(check)) == ("rejected", 0)
    assert event.reason == "A reviewer decides."


def test_approval_that_another_provider_gave_is_left_alone() -> None:
    check = sent()
    type(check.case).objects.filter(pk=check.case_id).update(provider="manual")
    decide(claimed(check), APPROVED)
    check.refresh_from_db()
    assert state_of(check) == ("done", "approved", "submitted")
    assert check.result_text == "Text. Nothing was changed: Another provider checks this case."


def test_number_that_another_account_claims_leaves_the_case_to_reviewers() -> None:
    other = sent()
    check = sent(number=number_of(other.case))
    Check.objects.filter(pk=other.pk).update(next_attempt_at=None)
    event = hear(check, APPROVED)
    check.refresh_from_db()
    assert state_of(check) == ("done", "unclear", "submitted")
    assert check.result_text == "Text. Another account claims the number. A reviewer decides."
    assert (event.state, event.reason) == (
        "done",
        "Another account claims the number. A reviewer decides.",
    )


@pytest.mark.parametrize(
    ("result", "event", "code"), [(APPROVED, "approve", ""), (REJECTED, "reject", "provider")]
)
def test_decision_on_the_case_names_the_provider_and_its_text(result: Result, event: str, code: str) -> None:
    check = sent()
    decide(claimed(check), result, "0810 Exact match")
    last = check.case.events.last()
    assert last is not None
    assert (last.event, last.provider, last.actor) == (event, "smile_id", None)
    assert (last.reason_code, last.reason) == (code, "Smile ID: 0810 Exact match")


@pytest.mark.parametrize("result", [APPROVED, REJECTED, UNCLEAR])
def test_case_that_a_reviewer_has_claimed_is_left_to_them(result: Result) -> None:
    check = sent()
    cases.claim(case_id=check.case_id, reviewer=make_reviewer())
    event = hear(check, result)
    assert state_of(check) == ("done", result, "in_review")
    assert (event.state, event.reason) == ("done", "A reviewer decides.")


def test_unclear_result_leaves_a_waiting_case_in_the_queue() -> None:
    check = sent()
    decide(claimed(check), UNCLEAR)
    check.refresh_from_db()
    assert state_of(check) == ("done", "unclear", "submitted")
    assert check.result_text == "Text. A reviewer decides."


def test_doubt_and_revocation_say_which_provider_and_why() -> None:
    check = sent()
    decide(claimed(check), APPROVED)
    hear(check, UNCLEAR, "Photo differs")
    doubt = check.case.events.last()
    assert doubt is not None
    assert (doubt.event, doubt.provider, doubt.reason) == ("doubt", "smile_id", "Smile ID: Photo differs")
    check.refresh_from_db()
    assert check.result_text == (
        "Photo differs. The approval stays valid and is marked as doubted. An approver decides."
    )
    hear(check, REJECTED, "Reported stolen")
    revocation = check.case.events.last()
    assert revocation is not None
    assert (revocation.event, revocation.provider) == ("revoke", "smile_id")
    assert (revocation.reason_code, revocation.reason) == ("provider", "Smile ID: Reported stolen")


@pytest.mark.parametrize(
    ("result", "doubts", "sentence"),
    [
        (REJECTED, 1, "The approval stays valid and is marked as doubted. An approver decides."),
        (APPROVED, 0, "Nothing was changed, because the check is no longer current."),
        (UNCLEAR, 0, "Nothing was changed, because the check is no longer current."),
    ],
)
def test_check_that_a_reviewers_approval_cancelled_may_still_bring_a_doubt(
    result: Result, doubts: int, sentence: str
) -> None:
    check = sent()
    review(check, approve=True)
    event = hear(check, result)
    assert (state_of(check), doubts_of(check)) == (("cancelled", result, "approved"), doubts)
    assert (event.state, event.reason) == ("done", sentence)


def test_check_that_was_replaced_brings_no_doubt() -> None:
    first = sent()
    decide(claimed(first), REJECTED)
    cases.resubmit(person=first.case.person, public_id=first.case.public_id, images={})
    Check.objects.exclude(pk=first.pk).update(next_attempt_at=None, state=Check.State.FAILED)
    review(first, approve=True)
    Check.objects.filter(pk=first.pk).update(result=APPROVED)
    event = hear(first, REJECTED)
    assert (state_of(first)[2], doubts_of(first)) == ("approved", 0)
    assert event.reason == "Nothing was changed, because the check is no longer current."


def test_check_of_another_case_replaces_nothing() -> None:
    check, newer = sent(), sent()
    Check.objects.filter(pk=newer.pk).update(next_attempt_at=None)
    decide(claimed(check), APPROVED)
    assert state_of(check) == ("done", "approved", "approved")


def test_callback_about_a_check_without_a_result_is_ignored_and_all_callbacks_are_answered() -> None:
    check = sent()
    events = [called_back(check), called_back(check)]
    before = timezone.now()
    decide(claimed(check), PENDING)
    for event in events:
        event.refresh_from_db()
        assert (event.state, event.reason) == ("ignored", "No result yet. It will be requested again.")
        assert (event.next_attempt_at, event.attempt_count) == (None, 1)
        assert event.processed_at is not None
        assert event.processed_at >= before


def test_callback_that_brought_a_result_is_done() -> None:
    check = sent()
    before = timezone.now()
    event = hear(check, APPROVED)
    assert (event.state, event.reason, event.attempt_count) == ("done", "The case was approved.", 1)
    assert event.processed_at is not None
    assert event.processed_at >= before
