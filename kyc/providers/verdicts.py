"""What a provider's verdict does to the case, once, whatever was known before and however often it is heard.

Locks in the order of kyc/transitions.py: the person, the case, then the check.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from core.outgoing import redact
from kyc import cases
from kyc.errors import DuplicateNumber, NotAllowed, NotInThisState
from kyc.models import Case, Check, ProviderEvent, State
from kyc.providers import registry
from kyc.providers.base import Result, Verdict
from kyc.providers.claim import Claim
from kyc.providers.outbox import RUNNING
from kyc.providers.record import fields_of_failure, finish_event, pending_events
from kyc.transitions import lock_case

LONGEST_TEXT = 300
SETTLED = (Check.State.DONE, Check.State.CANCELLED)
# A callback may come before the provider's own answers know what it says; only a reversal could be missed so.
SECOND_LOOK_AFTER = timedelta(minutes=1)


def apply(claim: Claim, verdict: Verdict, secrets: tuple[str, ...]) -> None:
    """Writes the verdict down and acts on it, if the check is still this worker's."""
    now = timezone.now()
    with transaction.atomic():
        case = lock_case(claim.row.case_id)
        check = Check.objects.select_for_update().get(pk=claim.row.pk)
        if check.attempt_count != claim.number:
            return
        if verdict.result is Result.PENDING:
            done = wait_on(check, verdict, now)
        else:
            done = settle(case, check, verdict, redact(verdict.text, secrets)[:LONGEST_TEXT], now)
        for event in pending_events(claim):
            close_event(event, check, done, now)


def wait_on(check: Check, verdict: Verdict, now: datetime) -> str:
    """No result yet. A check that has one keeps it: nothing is taken back for being looked at again."""
    check.lease_until = None
    if check.state in RUNNING:
        fields = fields_of_failure(check, verdict.text, now, wish=None)
        for name, value in fields.items():
            setattr(check, name, value)
    check.save()
    return ""


def settle(case: Case, check: Check, verdict: Verdict, text: str, now: datetime) -> str:
    """What was done about a result; "" when it is known already."""
    check.lease_until = None
    check.next_attempt_at = None
    if check.state in SETTLED and check.result == verdict.result:
        check.save()
        return ""
    result, done = act(case, check, verdict.result, text)
    check.result, check.result_text, check.last_error = result, f"{text}. {done}", ""
    check.provider_reference = verdict.provider_reference[:100] or check.provider_reference
    if check.state != Check.State.CANCELLED:
        check.state, check.finished_at = Check.State.DONE, now
    check.save()
    return done


def act(case: Case, check: Check, result: Result, text: str) -> tuple[Result, str]:
    """The result that stands, and what was done about it."""
    contradicted = contradicts(case, check, result)
    if is_replaced(check) or (check.state == Check.State.CANCELLED and not contradicted):
        return result, "The case has moved on: nothing was done."
    try:
        if contradicted:
            cases.doubt_by_provider(case_id=case.pk, provider=check.provider, reason=words(check, text))
            return result, "The approval stands and is marked as doubted: people decide."
        if result is not Result.UNCLEAR and case.state == State.SUBMITTED:
            return decide(case, check, result, text)
        if reverses(case, result):
            cases.revoke_by_provider(case_id=case.pk, provider=check.provider, reason=words(check, text))
            return result, "The approval was revoked."
    except DuplicateNumber:
        return Result.UNCLEAR, "Another account claims the number: people decide."
    except (NotInThisState, NotAllowed) as problem:
        return result, f"Nothing was done: {problem}"
    return result, "People decide."


def decide(case: Case, check: Check, result: Result, text: str) -> tuple[Result, str]:
    is_approved = result is Result.APPROVED
    cases.decide_by_provider(
        case_id=case.pk, provider=check.provider, approved=is_approved, reason=words(check, text)
    )
    return result, f"The case was {'approved' if is_approved else 'rejected'}."


def reverses(case: Case, result: Result) -> bool:
    """The provider takes back an approval that was its own word. A person's approval only people revoke."""
    return result is Result.REJECTED and case.state == State.APPROVED and case.decided_by_id is None


def contradicts(case: Case, check: Check, result: Result) -> bool:
    """News against an approval that it may not revoke: a person's, or its own when it is only less sure."""
    if case.state != State.APPROVED:
        return False
    if result is Result.REJECTED:
        return case.decided_by_id is not None
    return result is Result.UNCLEAR and check.result == Result.APPROVED


def is_replaced(check: Check) -> bool:
    return Check.objects.filter(case_id=check.case_id, pk__gt=check.pk).exists()


def words(check: Check, text: str) -> str:
    return f"{registry.get(check.provider).label}: {text}"


def close_event(event: ProviderEvent, check: Check, done: str, now: datetime) -> None:
    """A callback that brought something is done; one that brought nothing may be early, once."""
    if done:
        finish_event(event, ProviderEvent.State.DONE, done, now)
    elif check.state in RUNNING:
        finish_event(event, ProviderEvent.State.IGNORED, "No result yet; it is asked for again.", now)
    elif event.attempt_count == 0:
        event.attempt_count = 1
        event.next_attempt_at = now + SECOND_LOOK_AFTER
        event.reason = "Nothing new yet; looked at once more."
        event.save(update_fields=["attempt_count", "next_attempt_at", "reason"])
    else:
        finish_event(event, ProviderEvent.State.IGNORED, "It told nothing new.", now)
