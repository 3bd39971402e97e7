"""Tests callbacks: duplicates, order, forgery and delays do not change the outcome."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kyc import cases, metrics
from kyc.cases.selectors import number_of
from kyc.documents import retention
from kyc.errors import CannotReprocess, NotAllowed, ReasonMissing
from kyc.models import Check, ProviderEvent
from kyc.providers import events, work
from kyc.providers.base import Malformed
from kyc.providers.smile_id.provider import SmileId
from kyc.providers.tests.conftest import NAME, a_day_passes, run, sent, state_of, submitted
from kyc.providers.tests.smile_stand_in import Fault, SmileStandIn
from kyc.tests.people import REFUSAL, make_approver, make_reviewer

pytestmark = pytest.mark.django_db
DOUBTED = "The approval stays valid and is marked as doubted. An approver decides."
CallBack = Callable[[Any], Any]


def approves(smile: SmileStandIn, check: Check) -> None:
    read = {"IDNumber": number_of(check.case), "FullName": NAME}
    smile.decides("0810", success=True, reference=check.reference, **read)


def approved(smile: SmileStandIn) -> Check:
    check = sent()
    approves(smile, check)
    run()
    assert state_of(check) == ("done", "approved", "approved")
    return check


def received(call_back: CallBack, smile: SmileStandIn, check: Check, **changes: Any) -> ProviderEvent:
    assert call_back(smile.callback(check.reference, **changes)).json() == {"stored": True}
    return ProviderEvent.objects.latest("pk")


def state_after(event: ProviderEvent) -> tuple[str, str]:
    event.refresh_from_db()
    return event.state, event.reason


def test_a_callback_makes_us_ask_at_once(smile: SmileStandIn, call_back: CallBack) -> None:
    check = sent()
    approves(smile, check)
    event = received(call_back, smile, check)
    Check.objects.update(next_attempt_at=timezone.now() + timedelta(hours=1))
    assert work.run_due() == 1
    assert state_of(check) == ("done", "approved", "approved")
    assert state_after(event) == ("done", "The case was approved.")
    assert event.processed_at is not None


def test_what_the_callback_says_counts_for_nothing(smile: SmileStandIn, call_back: CallBack) -> None:
    check = sent()
    smile.decides("1022", success=False)
    received(call_back, smile, check, ResultCode="0810", ResultText="Approved")
    run()
    assert state_of(check) == ("done", "rejected", "rejected")


def test_a_callback_before_the_submission_was_written_down_asks_and_then_goes_on(
    smile: SmileStandIn, call_back: CallBack
) -> None:
    check = submitted()
    smile.faults["put"].append(Fault(500, after=True))
    run()
    assert state_of(check)[0] == "pending"
    approves(smile, check)
    event = received(call_back, smile, check)
    run()
    assert state_of(check) == ("done", "approved", "approved")
    assert state_after(event)[0] == "done"
    assert smile.job.uploads == 1


def test_a_callback_about_a_job_that_never_arrived_does_not_stop_its_submission(
    smile: SmileStandIn, call_back: CallBack
) -> None:
    check = submitted()
    params = {"job_id": check.reference, "user_id": "x"}
    call_back({**smile.signed(), "PartnerParams": params})
    run()
    run()
    assert state_of(check) == ("sent", "", "submitted")
    assert ProviderEvent.objects.get().state == "ignored"


def test_a_callback_without_a_result_is_ignored_because_the_poll_goes_on(
    smile: SmileStandIn, call_back: CallBack
) -> None:
    check = sent()
    event = received(call_back, smile, check)
    run()
    assert state_after(event) == ("ignored", "No result yet. It will be requested again.")
    assert state_of(check)[0] == "sent"


def test_a_callback_after_the_result_tells_nothing_new_after_a_second_look(
    smile: SmileStandIn, call_back: CallBack
) -> None:
    check = approved(smile)
    event = received(call_back, smile, check)
    run()
    assert state_after(event)[0] == "pending"
    run()
    assert state_after(event) == ("ignored", "Nothing new.")
    assert check.case.events.count() == 2


def test_an_approval_that_is_taken_back_late_is_revoked(
    smile: SmileStandIn, call_back: CallBack, django_capture_on_commit_callbacks: Any
) -> None:
    check = approved(smile)
    smile.decides("0811", success=False)
    event = received(call_back, smile, check)
    before = metrics.provider_events["smile_id", "done"]._value.get()
    with django_capture_on_commit_callbacks(execute=True):
        run()
    assert state_of(check) == ("done", "rejected", "revoked")
    assert state_after(event) == ("done", "The approval was revoked.")
    last = check.case.events.last()
    assert last is not None
    assert (last.event, last.provider, last.reason_code) == ("revoke", "smile_id", "provider")
    assert metrics.provider_events["smile_id", "done"]._value.get() == before + 1


def test_a_reversal_that_the_provider_itself_learns_late_is_not_missed(
    smile: SmileStandIn, call_back: CallBack
) -> None:
    check = approved(smile)
    received(call_back, smile, check, ResultCode="0811")
    run()
    assert state_of(check) == ("done", "approved", "approved")
    smile.decides("0811", success=False)
    run()
    assert state_of(check) == ("done", "rejected", "revoked")


def test_a_reversal_by_way_of_doubt_is_a_reversal(smile: SmileStandIn, call_back: CallBack) -> None:
    check = approved(smile)
    for code, expected in (("0814", "approved"), ("0811", "revoked")):
        smile.decides(code, success=False)
        received(call_back, smile, check, n=code)
        run()
        assert state_of(check)[2] == expected


@pytest.mark.parametrize("answered", [True, False], ids=["after the answer", "without waiting for it"])
def test_an_approval_by_people_is_doubted_and_not_taken_back(
    smile: SmileStandIn, call_back: CallBack, answered: bool
) -> None:
    check = sent()
    if answered:
        smile.decides("0814", success=False)
        run()
    reviewer = make_reviewer()
    cases.claim(case_id=check.case_id, reviewer=reviewer)
    cases.approve(case_id=check.case_id, reviewer=reviewer)
    smile.decides("0811", success=False)
    event = received(call_back, smile, check)
    run()
    assert state_of(check) == ("done" if answered else "cancelled", "rejected", "approved")
    assert state_after(event) == ("done", DOUBTED)
    assert doubts_of(check) == [("doubt", "smile_id")]


def test_an_approval_that_the_provider_is_no_longer_sure_of_is_doubted(
    smile: SmileStandIn, call_back: CallBack
) -> None:
    check = approved(smile)
    smile.decides("0814", success=False)
    event = received(call_back, smile, check)
    run()
    assert state_of(check) == ("done", "unclear", "approved")
    assert state_after(event) == ("done", DOUBTED)
    assert check.case.doubted_at is not None


def test_a_repeated_doubt_is_recorded_once(smile: SmileStandIn, call_back: CallBack) -> None:
    check = approved(smile)
    smile.decides("0814", success=False)
    for number in range(3):
        received(call_back, smile, check, n=number)
        run()
    assert doubts_of(check) == [("doubt", "smile_id")]


def test_what_people_upheld_the_provider_can_no_longer_take_back(
    smile: SmileStandIn, call_back: CallBack
) -> None:
    check = approved(smile)
    approver = make_approver()
    smile.decides("0814", success=False)
    received(call_back, smile, check)
    run()
    cases.uphold(case_id=check.case_id, actor=approver, reason="The register has them.")
    smile.decides("0811", success=False)
    received(call_back, smile, check, n=2)
    run()
    assert state_of(check) == ("done", "rejected", "approved")
    assert check.case.decided_by == approver
    assert check.case.doubted_at is not None
    cases.revoke(case_id=check.case_id, actor=approver, **REFUSAL)
    assert state_of(check)[2] == "revoked"
    assert check.case.doubted_at is None


def doubts_of(check: Check) -> list[tuple[str, str]]:
    return list(check.case.events.filter(event="doubt").values_list("event", "provider"))


def test_a_rejection_that_is_taken_back_is_shown_and_changes_nothing(
    smile: SmileStandIn, call_back: CallBack
) -> None:
    check = sent()
    smile.decides("0811", success=False)
    run()
    approves(smile, check)
    received(call_back, smile, check)
    run()
    assert state_of(check) == ("done", "approved", "rejected")


def test_a_callback_of_a_withdrawn_or_replaced_check_changes_no_case(
    smile: SmileStandIn, call_back: CallBack
) -> None:
    check = sent()
    cases.withdraw(person=check.case.person, public_id=check.case.public_id)
    smile.decides("0811", success=False)
    event = received(call_back, smile, check)
    run()
    assert state_of(check) == ("cancelled", "rejected", "draft")
    assert state_after(event) == ("done", "Nothing was changed, because the check is no longer current.")


def test_a_result_that_comes_after_we_gave_up_still_decides(smile: SmileStandIn, call_back: CallBack) -> None:
    check = sent()
    a_day_passes()
    run()
    assert state_of(check)[0] == "failed"
    approves(smile, check)
    received(call_back, smile, check)
    run()
    assert state_of(check) == ("done", "approved", "approved")


def test_while_the_provider_is_down_callbacks_wait_and_then_are_given_up(
    smile: SmileStandIn, call_back: CallBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = approved(smile)
    event = received(call_back, smile, check)
    smile.faults["job_status"].extend([Fault(503), Fault(503)])
    run()
    assert state_after(event) == ("pending", "Smile ID answered 503.")
    assert event.attempt_count == 1
    assert event.next_attempt_at is not None
    monkeypatch.setattr("kyc.providers.claim.GIVE_UP_AFTER", timedelta(0))
    run()
    assert state_after(event) == ("failed", "Given up: Smile ID answered 503.")
    assert state_of(check) == ("done", "approved", "approved")


def test_an_operator_has_a_callback_processed_again(
    smile: SmileStandIn, call_back: CallBack, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = approved(smile)
    smile.decides("0811", success=False)
    event = received(call_back, smile, check)
    with monkeypatch.context() as patience:
        patience.setattr("kyc.providers.claim.GIVE_UP_AFTER", timedelta(0))
        smile.faults["job_status"].append(Fault(503))
        run()
    assert state_after(event)[0] == "failed"
    approver = make_approver()
    again = events.reprocess(event_id=event.pk, actor=approver, reason="Smile ID is back.")
    assert (again.state, again.attempt_count, again.asked_again_by) == ("pending", 0, approver)
    assert again.asked_again_because == "Smile ID is back."
    run()
    assert state_of(check) == ("done", "rejected", "revoked")


def test_processing_again_needs_permission_a_reason_and_a_check(
    smile: SmileStandIn, call_back: CallBack
) -> None:
    event = received(call_back, smile, approved(smile))
    approver = make_approver()
    call_back({**smile.signed(), "PartnerParams": {"job_id": "unknown"}})
    unknown = ProviderEvent.objects.latest("pk")
    call_back({**smile.signed(), "signature": "forged", "PartnerParams": {"job_id": "unknown"}})
    forged = ProviderEvent.objects.latest("pk")
    before = list(ProviderEvent.objects.values())
    with pytest.raises(NotAllowed):
        events.reprocess(event_id=event.pk, actor=make_reviewer(), reason="Why not.")
    with pytest.raises(ReasonMissing):
        events.reprocess(event_id=event.pk, actor=approver, reason=" ")
    with pytest.raises(CannotReprocess, match="has its reference"):
        events.reprocess(event_id=unknown.pk, actor=approver, reason="Why not.")
    with pytest.raises(CannotReprocess, match="signature"):
        events.reprocess(event_id=forged.pk, actor=approver, reason="Why not.")
    assert list(ProviderEvent.objects.values()) == before


def test_old_callbacks_are_deleted_and_those_that_wait_are_kept(
    smile: SmileStandIn, call_back: CallBack, settings: Any
) -> None:
    check = approved(smile)
    waiting = received(call_back, smile, check)
    call_back({**smile.signed(), "PartnerParams": {"job_id": "unknown"}})
    assert events.forget_old() == 0
    settings.KYC_REJECTED_RETENTION_DAYS = -1
    assert events.forget_old() == 1
    assert ProviderEvent.objects.get() == waiting
    assert events.forget(case=check.case) == 1


def test_with_a_case_go_the_callbacks_about_it(smile: SmileStandIn, call_back: CallBack) -> None:
    erased, kept = sent(), sent()
    received(call_back, smile, erased)
    other = received(call_back, smile, kept)
    cases.withdraw(person=erased.case.person, public_id=erased.case.public_id)
    assert retention.erase_case(erased.case_id, "the account was erased")
    assert ProviderEvent.objects.get() == other


# --- Any order, any number of times ---

CODES = {"0810": True, "0811": False, "0814": False}
FINAL = {"0810": "approved", "0811": "rejected", "0814": "submitted"}


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    code=st.sampled_from(sorted(CODES)),
    order=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    runs=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_any_order_and_number_of_callbacks_ends_in_the_same_state(
    smile: SmileStandIn, call_back: CallBack, code: str, order: list[int], runs: list[bool]
) -> None:
    check = sent()
    read = {"IDNumber": number_of(check.case), "FullName": NAME}
    smile.decides(code, success=CODES[code], reference=check.reference, **read)
    bodies = [json.dumps(smile.callback(check.reference, n=n)).encode() for n in range(4)]
    for number, works in zip(order, runs, strict=False):
        assert call_back(bodies[number]).status_code == 200
        if works:
            run()
    run()
    assert state_of(check)[2] == FINAL[code]
    decisions = check.case.events.exclude(event="submit").count()
    assert decisions == (code != "0814")
    assert ProviderEvent.objects.filter(check_row=check).count() == len(set(order))


def mutated(body: bytes, chance: random.Random) -> bytes:
    """One to three changes of bytes: some break the JSON, some the signature, some what it says."""
    changed = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed))
        kind = chance.choice(("replace", "insert", "delete", "cut", "double"))
        if kind == "replace":
            changed[at] = chance.randrange(256)
        elif kind == "insert":
            changed.insert(at, chance.randrange(256))
        elif kind == "delete":
            del changed[at]
        elif kind == "cut":
            del changed[max(at, 1) :]
        else:
            changed += changed[at:]
    return bytes(changed) or b"{"


def test_a_thousand_mutated_callbacks_decide_nothing_wrong(smile: SmileStandIn, call_back: CallBack) -> None:
    """Callbacks of a job without result, made to say that it is approved, with every kind of damage."""
    check, other = sent(), sent()
    chance = random.Random(20260102)  # noqa: S311  (repeatable, not secret)
    said = smile.callback(check.reference, ResultCode="0810", FullName=NAME, job_success=True)
    body = json.dumps(said).encode()
    statuses = {call_back(mutated(body, chance)).status_code for _ in range(1000)}
    assert statuses <= {200, 400, 401}
    assert {200, 400, 401} <= statuses
    run()
    assert state_of(check) == ("sent", "", "submitted")
    assert state_of(other) == ("sent", "", "submitted")
    assert ProviderEvent.objects.filter(signature_ok=False).count() == events.REFUSED_KEPT_AN_HOUR
    assert not ProviderEvent.objects.filter(state="done").exists()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    body=st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
        lambda value: json.dumps(value).encode()
    )
    | st.dictionaries(
        st.sampled_from(["timestamp", "signature", "PartnerParams"]), st.text() | st.none()
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_body_breaks_the_verification(smile: SmileStandIn, body: bytes) -> None:
    try:
        callback = SmileId().verify(body, {})
    except Malformed:
        callback = None
    assert callback is None
