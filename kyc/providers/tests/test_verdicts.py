"""Tests the effect of verdicts on a check, its case and its callbacks, without a provider."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from kyc import cases
from kyc.models import Check, ProviderEvent
from kyc.providers import claim, registry, work
from kyc.providers.base import Result, Verdict
from kyc.providers.claim import Claim
from kyc.providers.tests.conftest import a_day_passes, make_due, state_of, submitted
from kyc.tests.people import REFUSAL, make_reviewer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("smile")]
APPROVED, REJECTED, UNCLEAR, PENDING = Result.APPROVED, Result.REJECTED, Result.UNCLEAR, Result.PENDING


def sent() -> Check:
    """A check that the provider has, without asking one."""
    check = submitted()
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
