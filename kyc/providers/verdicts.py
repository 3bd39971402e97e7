"""Applies a provider's verdict to the case, once, however often the provider repeats it.

Locks in the order of kyc/cases/transitions.py: the person, the case, then the check.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from core.outgoing import redact
from kyc.cases import decisions
from kyc.cases.constraints import constraints_named
from kyc.cases.transitions import lock_case
from kyc.errors import DuplicateNumber, NotAllowed, NotInThisState
from kyc.models import Case, Check, ProviderEvent, State
from kyc.providers import registry
from kyc.providers.base import Result, Verdict
from kyc.providers.claim import Claim
from kyc.providers.outbox import RUNNING
from kyc.providers.record import fields_of_failure, finish_event, pending_events

LONGEST_TEXT = 300
SETTLED = (Check.State.DONE, Check.State.CANCELLED)
# A callback can arrive before the provider's API has its result. Only a reversal could be missed in this way.
SECOND_LOOK_AFTER = timedelta(minutes=1)


class Effect(StrEnum):
    """The effect of a verdict on the case, and so on the callbacks that it answers."""

    PENDING = "pending"  # the provider has no result yet
    KNOWN = "known"  # nothing: the result was known already
    MOVED_ON = "moved_on"  # nothing: a newer check or a decision of an operator replaced this one
    REFUSED = "refused"  # nothing: the case may not take this step
    APPROVED = "approved"
    REJECTED = "rejected"
    REVOKED = "revoked"
    DOUBTED = "doubted"
    DUPLICATE = "duplicate"  # left to reviewers: another account has the number
    LEFT_TO_PEOPLE = "left_to_people"


NOTHING_NEW = frozenset({Effect.PENDING, Effect.KNOWN})
SENTENCES = {
    Effect.MOVED_ON: "Nothing was changed, because the check is no longer current.",
    Effect.REFUSED: "Nothing was changed: {}",
    Effect.APPROVED: "The case was approved.",
    Effect.REJECTED: "The case was rejected.",
    Effect.REVOKED: "The approval was revoked.",
    Effect.DOUBTED: "The approval stays valid and is marked as doubted. An approver decides.",
    Effect.DUPLICATE: "Another account claims the number. A reviewer decides.",
    Effect.LEFT_TO_PEOPLE: "A reviewer decides.",
}


class Acted(NamedTuple):
    """`detail`: why the step was refused."""

    effect: Effect
    detail: str = ""

    @property
    def sentence(self) -> str:
        """Returns a sentence for operators."""
        return SENTENCES[self.effect].format(self.detail)


def apply(claim: Claim, verdict: Verdict, secrets: tuple[str, ...]) -> None:
    """Records the verdict and applies it to the case, both locked, if this worker still has the lease."""
    now = timezone.now()
    with transaction.atomic():
        case = lock_case(claim.row.case_id)
        check = claim.rows().select_for_update().first()
        if check is None:
            return
        if verdict.result is Result.PENDING:
            acted = wait_on(check, verdict, now)
        else:
            acted = settle(case, check, verdict, redact(verdict.text, secrets)[:LONGEST_TEXT], now)
        for event in pending_events(claim):
            close_event(event, check, acted, now)


def wait_on(check: Check, verdict: Verdict, now: datetime) -> Acted:
    """Plans the next request. A check that has a result keeps it."""
    check.lease_until = None
    if check.state in RUNNING:
        fields = fields_of_failure(check, verdict.text, now, wish=None)
        for name, value in fields.items():
            setattr(check, name, value)
    check.save()
    return Acted(Effect.PENDING)


def settle(case: Case, check: Check, verdict: Verdict, text: str, now: datetime) -> Acted:
    """Applies a result to the case and stores it in the check, unless it is known already."""
    check.lease_until = None
    check.next_attempt_at = None
    if check.state in SETTLED and check.result == verdict.result:
        check.save()
        return Acted(Effect.KNOWN)
    acted = act(case, check, verdict.result, text)
    check.result = Result.UNCLEAR if acted.effect is Effect.DUPLICATE else verdict.result
    check.result_text, check.last_error = f"{text}. {acted.sentence}", ""
    check.provider_reference = verdict.provider_reference[:100] or check.provider_reference
    if check.state != Check.State.CANCELLED:
        check.state, check.finished_at = Check.State.DONE, now
    check.save()
    return acted


def act(case: Case, check: Check, result: Result, text: str) -> Acted:
    """Applies the transition for the result, if the state of the locked case allows it."""
    effect = effect_of(case, check, result)
    try:
        with constraints_named(), transaction.atomic():
            take_step(case, check, effect, f"{registry.get(check.provider).label}: {text}")
    except DuplicateNumber:
        return Acted(Effect.DUPLICATE)
    except (NotInThisState, NotAllowed) as problem:
        return Acted(Effect.REFUSED, str(problem))
    return Acted(effect)


def effect_of(case: Case, check: Check, result: Result) -> Effect:
    """Returns the effect of the result in the current state of the case."""
    contradicted = contradicts(case, check, result)
    if is_replaced(check) or (check.state == Check.State.CANCELLED and not contradicted):
        return Effect.MOVED_ON
    if contradicted:
        return Effect.DOUBTED
    if case.state == State.SUBMITTED and result is not Result.UNCLEAR:
        return Effect.APPROVED if result is Result.APPROVED else Effect.REJECTED
    return Effect.REVOKED if reverses(case, result) else Effect.LEFT_TO_PEOPLE


def take_step(case: Case, check: Check, effect: Effect, reason: str) -> None:
    """Changes the locked case. Raises DuplicateNumber, NotInThisState or NotAllowed."""
    match effect:
        case Effect.DOUBTED:
            decisions.doubt_as_provider(case, check.provider, reason)
        case Effect.REVOKED:
            decisions.revoke_as_provider(case, check.provider, reason)
        case Effect.APPROVED | Effect.REJECTED:
            approved = effect is Effect.APPROVED
            decisions.decide_as_provider(case, check.provider, approved=approved, reason=reason)


def reverses(case: Case, result: Result) -> bool:
    """Returns whether the provider rejects its own approval. Only operators revoke operators' approvals."""
    return result is Result.REJECTED and case.state == State.APPROVED and case.decided_by_id is None


def contradicts(case: Case, check: Check, result: Result) -> bool:
    """Returns whether the result contradicts an approval that the provider may not revoke.

    That is an operator's approval, or its own if it is now only unsure.
    """
    if case.state != State.APPROVED:
        return False
    if result is Result.REJECTED:
        return case.decided_by_id is not None
    return result is Result.UNCLEAR and check.result == Result.APPROVED


def is_replaced(check: Check) -> bool:
    return Check.objects.filter(case_id=check.case_id, pk__gt=check.pk).exists()


def close_event(event: ProviderEvent, check: Check, acted: Acted, now: datetime) -> None:
    """Finishes a callback. One without a new result may be early, so it is processed once more later."""
    if acted.effect not in NOTHING_NEW:
        finish_event(event, ProviderEvent.State.DONE, acted.sentence, now)
    elif check.state in RUNNING:
        finish_event(event, ProviderEvent.State.IGNORED, "No result yet. It will be requested again.", now)
    elif event.attempt_count == 0:
        event.attempt_count = 1
        event.next_attempt_at = now + SECOND_LOOK_AFTER
        event.reason = "Nothing new yet. It will be requested once more."
        event.save(update_fields=["attempt_count", "next_attempt_at", "reason"])
    else:
        finish_event(event, ProviderEvent.State.IGNORED, "Nothing new.", now)
