"""Tests the way from submission to decision with a provider that delays, fails and contradicts."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core.outcomes import Accepted
from kyc import cases
from kyc.cases.selectors import number_of
from kyc.errors import NotInThisState
from kyc.models import Case, Check
from kyc.providers import claim, registry, work
from kyc.providers.claim import next_look
from kyc.providers.tests.conftest import NAME, a_day_passes, make_due, nin, run, sent, state_of, submitted
from kyc.providers.tests.smile_stand_in import Fault, SmileStandIn
from kyc.tests.people import make_person, make_reviewer, submission

pytestmark = pytest.mark.django_db
Pytest = pytest.MonkeyPatch


def approves(smile: SmileStandIn, check: Check, **changes: Any) -> None:
    read = {"IDNumber": number_of(check.case), "FullName": NAME.upper()}
    smile.decides("0810", success=True, reference=check.reference, **read | changes)


def test_the_manual_provider_is_asked_nothing() -> None:
    cases.submit(person=make_person(), **submission())
    assert not Check.objects.exists()


def test_a_submission_plans_a_check_and_wakes_the_worker_after_the_commit(
    smile: SmileStandIn, rings: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        check = submitted()
        assert rings == []
    assert rings == ["rung"]
    assert (check.state, check.provider, check.attempt_count) == ("pending", "smile_id", 0)
    assert smile.requests == []


def test_a_case_is_handed_in_polled_and_approved(smile: SmileStandIn) -> None:
    check = submitted()
    run()
    assert state_of(check) == ("sent", "", "submitted")
    assert check.provider_reference == "0000001897"
    run()
    assert state_of(check) == ("sent", "", "submitted")
    approves(smile, check)
    run()
    assert state_of(check) == ("done", "approved", "approved")
    assert check.result_text == "0810 Text of 0810. The case was approved."
    event = check.case.events.last()
    assert event is not None
    assert (event.provider, event.actor, event.reason) == ("smile_id", None, "Smile ID: 0810 Text of 0810")
    assert smile.requests == ["upload", "put", "job_status", "job_status"]
    assert (check.next_attempt_at, check.lease_until) == (None, None)


def test_the_images_that_are_sent_are_those_of_the_case(smile: SmileStandIn) -> None:
    check = nin()
    run()
    (image,) = check.case.documents.all()
    name = f"selfie.{image.content_type.removeprefix('image/').replace('jpeg', 'jpg')}"
    assert len(smile.job.content[name]) == image.size
    assert smile.job.info["misc_information"]["callback_url"].endswith("/api/v1/kyc/webhooks/smile_id")


def test_a_rejection_gives_its_reason(smile: SmileStandIn) -> None:
    check = sent()
    smile.decides("1022", success=False)
    run()
    assert state_of(check) == ("done", "rejected", "rejected")
    case = Case.objects.get(pk=check.case_id)
    assert (case.reason_code, case.reason) == ("provider", "Smile ID: 1022 Text of 1022")


@pytest.mark.parametrize(
    "doubtful",
    [{"IDNumber": "Z99999999"}, {"FullName": "SOMEBODY ELSE"}, {"Actions": {}}, {"ResultCode": "0814"}],
)
def test_doubt_leaves_the_case_to_people(smile: SmileStandIn, doubtful: dict[str, Any]) -> None:
    check = sent()
    approves(smile, check, **doubtful)
    run()
    assert state_of(check) == ("done", "unclear", "submitted")
    assert check.result_text.endswith("A reviewer decides.")


def test_a_number_that_another_account_claims_is_left_to_people(smile: SmileStandIn) -> None:
    first = sent()
    second = submitted(number=number_of(first.case))
    run()
    approves(smile, first)
    approves(smile, second)
    run()
    assert state_of(first) == ("done", "unclear", "submitted")
    assert state_of(second) == ("done", "unclear", "submitted")
    assert first.result_text.endswith("Another account claims the number. A reviewer decides.")


def test_a_refused_job_fails_and_the_case_stays_in_the_queue(smile: SmileStandIn) -> None:
    check = submitted()
    smile.faults["upload"].append(Fault(400, '{"code": "2213"}'))
    run()
    assert state_of(check) == ("failed", "", "submitted")
    assert check.last_error == "Smile ID answered 400 with code 2213."
    run()
    assert smile.requests == ["upload"]


def test_a_failure_is_tried_again_at_a_stored_time(smile: SmileStandIn) -> None:
    check = submitted()
    smile.faults["upload"].append(Fault(429, headers={"Retry-After": "600"}))
    before = timezone.now()
    run()
    check.refresh_from_db()
    assert (check.state, check.last_error) == ("pending", "Smile ID answered 429.")
    assert check.next_attempt_at is not None
    assert check.next_attempt_at >= before + timedelta(seconds=600)
    assert work.run_due() == 0
    run()
    assert state_of(check) == ("sent", "", "submitted")


def test_waits_grow_with_the_age_and_end_after_a_day() -> None:
    now = timezone.now()
    for age, shortest, longest in ((0, 7.5, 10), (60, 22.5, 30), (4 * 3600, 2700, 3600)):
        moment = next_look(now - timedelta(seconds=age), now)
        assert moment is not None
        assert shortest <= (moment - now).total_seconds() <= longest
    assert next_look(now - timedelta(hours=24), now) is None


def test_after_a_day_without_success_people_decide_alone(smile: SmileStandIn) -> None:
    check = submitted()
    a_day_passes()
    smile.faults["upload"].append(Fault(500))
    run()
    assert state_of(check) == ("failed", "", "submitted")
    assert check.last_error == "Given up: Smile ID answered 500."
    assert check.finished_at is not None


def test_after_a_day_without_result_people_decide_alone(smile: SmileStandIn) -> None:
    check = sent()
    a_day_passes()
    run()
    assert state_of(check) == ("failed", "", "submitted")
    assert check.last_error == "Given up: Smile ID has no result yet."


def test_a_provider_that_is_off_is_asked_when_it_is_on_again(smile: SmileStandIn, settings: Any) -> None:
    check = submitted()
    key, settings.SMILE_ID_API_KEY = settings.SMILE_ID_API_KEY, ""
    run()
    check.refresh_from_db()
    assert (check.state, check.last_error) == ("pending", "Smile ID is off: its id or key is not set.")
    settings.SMILE_ID_API_KEY = key
    run()
    assert state_of(check) == ("sent", "", "submitted")


def test_half_a_job_is_started_over_with_a_new_reference(smile: SmileStandIn) -> None:
    check = submitted()
    first = check.reference
    smile.faults["put"].append(Fault(503))
    run()
    run()
    check.refresh_from_db()
    assert check.reference != first
    assert (check.state, check.last_error) == ("pending", "Smile ID has the job without its images.")
    run()
    assert state_of(check) == ("sent", "", "submitted")
    assert [job.uploads for job in smile.jobs.values()] == [0, 1]


def test_a_lost_answer_makes_no_second_job(smile: SmileStandIn) -> None:
    check = submitted()
    smile.faults["put"].append(Fault(500, after=True))
    run()
    assert state_of(check) == ("pending", "", "submitted")
    run()
    assert state_of(check) == ("sent", "", "submitted")
    assert smile.job.uploads == 1


def test_a_worker_that_dies_after_handing_in_makes_no_second_job(
    smile: SmileStandIn, monkeypatch: Pytest
) -> None:
    check = submitted()
    with monkeypatch.context() as dying:
        dying.setattr(work, "record", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            run()
    run()
    assert state_of(check)[0] == "pending"
    assert smile.requests == ["upload", "put"], "its lease still holds"
    Check.objects.update(lease_until=timezone.now())
    run()
    assert state_of(check) == ("sent", "", "submitted")
    assert smile.job.uploads == 1


def test_a_worker_that_lost_its_lease_writes_nothing_down(smile: SmileStandIn) -> None:
    check = submitted()
    slow = claim.claim()
    assert slow is not None
    Check.objects.update(lease_until=timezone.now())
    smile.faults["upload"].append(Fault(400, '{"code": "2213"}'))
    run()
    assert state_of(check)[0] == "failed"
    work.attempt(slow)
    assert state_of(check) == ("failed", "", "submitted")
    assert check.attempt_count == 2


def test_two_hang_and_the_third_waits_so_that_alerts_keep_their_workers(smile: SmileStandIn) -> None:
    for _ in range(3):
        submitted()
    assert claim.claim() is not None
    assert claim.claim() is not None
    assert claim.claim() is None


def test_an_error_of_ours_is_recorded_and_the_next_check_goes_on(
    smile: SmileStandIn, monkeypatch: Pytest
) -> None:
    broken, fine = submitted(), submitted()

    def number_or_fault(case: Case) -> str:
        if case.pk == broken.case_id:
            raise ZeroDivisionError
        return number_of(case)

    monkeypatch.setattr("kyc.providers.work.number_of", number_or_fault)
    run()
    assert state_of(fine) == ("sent", "", "submitted")
    assert state_of(broken) == ("pending", "", "submitted")
    assert broken.last_error == "Internal error: ZeroDivisionError."


def test_a_withdrawn_case_is_not_sent(smile: SmileStandIn) -> None:
    check = submitted()
    cases.withdraw(person=check.case.person, public_id=check.case.public_id)
    run()
    assert state_of(check) == ("cancelled", "", "draft")
    assert smile.requests == []


def test_a_case_that_is_withdrawn_while_it_is_sent_stays_withdrawn(smile: SmileStandIn) -> None:
    check = submitted()
    claimed = claim.claim()
    assert claimed is not None
    cases.withdraw(person=check.case.person, public_id=check.case.public_id)
    work.record(claimed, registry.get("smile_id"), Accepted("0000001897"))
    assert state_of(check) == ("cancelled", "", "draft")
    assert (check.provider_reference, check.lease_until) == ("0000001897", None)


def test_a_reviewer_who_has_claimed_the_case_decides_and_sees_the_verdict(smile: SmileStandIn) -> None:
    check = sent()
    reviewer = make_reviewer()
    cases.claim(case_id=check.case_id, reviewer=reviewer)
    smile.decides("1022", success=False)
    run()
    assert state_of(check) == ("done", "rejected", "in_review")
    assert check.result_text == "1022 Text of 1022. A reviewer decides."
    cases.approve(case_id=check.case_id, reviewer=reviewer, reason="The person showed it to me.")
    assert state_of(check) == ("done", "rejected", "approved")


def test_a_decision_of_people_ends_the_check(smile: SmileStandIn) -> None:
    check = sent()
    reviewer = make_reviewer()
    cases.claim(case_id=check.case_id, reviewer=reviewer)
    cases.approve(case_id=check.case_id, reviewer=reviewer)
    smile.decides("1022", success=False)
    run()
    assert state_of(check) == ("cancelled", "", "approved")
    assert smile.requests == ["upload", "put"]


def test_a_resubmission_is_checked_anew(smile: SmileStandIn) -> None:
    first = sent()
    smile.decides("1022", success=False)
    run()
    case = cases.resubmit(person=first.case.person, public_id=first.case.public_id, images={})
    second = Check.objects.get(case=case, state="pending")
    assert second.reference != first.reference
    run()
    approves(smile, second)
    run()
    assert state_of(second) == ("done", "approved", "approved")
    assert state_of(first) == ("done", "rejected", "approved")


@pytest.mark.django_db(transaction=True)
def test_many_workers_hand_a_case_in_once(smile: SmileStandIn) -> None:
    check = submitted()
    barrier = threading.Barrier(4)

    def worker() -> None:
        barrier.wait()
        work.run_due()
        connection.close()

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state_of(check) == ("sent", "", "submitted")
    assert smile.requests == ["upload", "put"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_attempt", range(3))
def test_a_verdict_and_a_withdrawal_at_once_leave_one_of_the_two(smile: SmileStandIn, _attempt: int) -> None:
    check = sent()
    smile.decides("1022", success=False)
    make_due()
    case = Case.objects.select_related("person").get(pk=check.case_id)
    barrier = threading.Barrier(2)
    refused: list[str] = []

    def withdraw() -> None:
        barrier.wait()
        try:
            cases.withdraw(person=case.person, public_id=case.public_id)
        except NotInThisState as problem:
            refused.append(problem.code)
        connection.close()

    thread = threading.Thread(target=withdraw)
    thread.start()
    barrier.wait()
    work.run_due()
    thread.join()
    state, _, of_case = state_of(check)
    assert (state, of_case) in {("done", "rejected"), ("cancelled", "draft")}
    assert refused == (["not_in_this_state"] if of_case == "rejected" else [])
