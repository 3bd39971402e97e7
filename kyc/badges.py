"""Badges for cases, checks and events on the admin's pages, and the review target."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from core.console import display
from core.console.display import Badge
from kyc.cases.states import Event
from kyc.models import Case, Check, State
from kyc.models.cases import WAITING
from kyc.providers.registry import PROVIDERS

STATE_BADGES = {
    State.DRAFT: ("quiet", "edit_document", "Draft"),
    State.SUBMITTED: ("waiting", "hourglass_top", "Waiting"),
    State.IN_REVIEW: ("info", "visibility", "In review"),
    State.APPROVED: ("good", "verified", "Approved"),
    State.REJECTED: ("bad", "block", "Rejected"),
    State.EXPIRED: ("quiet", "event_busy", "Expired"),
    State.REVOKED: ("bad", "gpp_bad", "Revoked"),
}
EVENT_BADGES = {
    Event.SUBMIT: ("info", "upload_file", "Submitted"),
    Event.RESUBMIT: ("info", "upload_file", "Submitted again"),
    Event.WITHDRAW: ("quiet", "undo", "Withdrawn"),
    Event.CLAIM: ("info", "back_hand", "Claimed"),
    Event.RELEASE: ("quiet", "front_hand", "Released"),
    Event.LAPSE: ("waiting", "timer_off", "Claim expired"),
    Event.APPROVE: ("good", "verified", "Approved"),
    Event.REJECT: ("bad", "block", "Rejected"),
    Event.ASK_FOR_MORE: ("waiting", "contact_support", "Asked for more"),
    Event.REVOKE: ("bad", "gpp_bad", "Revoked"),
    Event.DOUBT: ("warning", "gpp_maybe", "Doubted"),
    Event.UPHOLD: ("good", "verified_user", "Upheld"),
    Event.EXPIRE: ("quiet", "event_busy", "Expired"),
}
RESULT_BADGES = {
    Check.Result.APPROVED: ("good", "check_circle", "approves"),
    Check.Result.REJECTED: ("bad", "cancel", "rejects"),
    Check.Result.UNCLEAR: ("warning", "help", "is not sure"),
}
CHECK_BADGES = {
    Check.State.PENDING: ("waiting", "schedule", "not sent yet"),
    Check.State.SENT: ("waiting", "hourglass_top", "no result yet"),
    Check.State.DONE: ("quiet", "check", "done"),
    Check.State.FAILED: ("bad", "error", "given up"),
    Check.State.CANCELLED: ("quiet", "do_not_disturb_on", "cancelled"),
}


def provider_name(provider: str) -> str:
    """Returns the provider's label; its name in old rows of a provider that is gone."""
    known = PROVIDERS.get(provider)
    return known.label if known else provider


def target() -> timedelta:
    return timedelta(hours=settings.KYC_REVIEW_TARGET_HOURS)


def target_in_words() -> str:
    return f"{settings.KYC_REVIEW_TARGET_HOURS} h"


def due(case: Case, now: datetime | None = None) -> Badge | None:
    """Returns the badge with the time left until the target; None if the case is not waiting."""
    if case.state not in WAITING or case.submitted_at is None:
        return None
    left = case.submitted_at + target() - (now or timezone.now())
    if left < timedelta(0):
        return Badge("bad", "alarm", f"{display.duration(-left)} over target")
    tone = "warning" if left < target() / 4 else "quiet"
    return Badge(tone, "alarm", f"{display.duration(left)} to target")


def claim_is_held(case: Case, now: datetime | None = None) -> bool:
    return case.claimed_until is not None and case.claimed_until > (now or timezone.now())


def check_badge(check: Check) -> tuple[str, str, str]:
    """Returns (tone, icon, text) of a check's result, or of its state if it has none."""
    if check.result:
        return RESULT_BADGES[Check.Result(check.result)]
    return CHECK_BADGES[Check.State(check.state)]


def event_badge(event: str) -> tuple[str, str, str]:
    if event in set(Event):
        return EVENT_BADGES[Event(event)]
    return ("quiet", "circle", event.replace("_", " ").capitalize())
