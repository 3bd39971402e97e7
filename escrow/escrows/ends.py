"""Derives where a locked escrow stands from its milestones, and ends it early, in one transaction."""

from __future__ import annotations

from core.states import By
from escrow import metrics
from escrow.escrows import invitations, money
from escrow.escrows.transitions import Locked, change, change_milestone, require
from escrow.models import Milestone
from escrow.states import MILESTONE_ENDS, Event, MilestoneState, MilestoneStep, State, Who


def follow(locked: Locked, by: By) -> None:
    """Takes the step of the escrow that its milestones lead to, if there is one. `by`: who caused it."""
    escrow, milestones = locked
    event = event_for(milestones)
    if event is None or (event == Event.BEGIN and escrow.state != State.FUNDED):
        return
    change(escrow, event, By(Who.SYSTEM, by.actor_id))


def event_for(milestones: list[Milestone]) -> Event | None:
    """Returns the escrow's step; None while all milestones are as they were when they were funded."""
    if any(milestone.state not in MILESTONE_ENDS for milestone in milestones):
        return Event.BEGIN if any(has_begun(milestone) for milestone in milestones) else None
    if not any(milestone.released_minor for milestone in milestones):
        cancelled = all(milestone.state == MilestoneState.CANCELLED for milestone in milestones)
        return Event.CANCEL if cancelled else Event.REFUND
    released = all(milestone.state == MilestoneState.RELEASED for milestone in milestones)
    return Event.COMPLETE if released else Event.CLOSE


def has_begun(milestone: Milestone) -> bool:
    return milestone.state != MilestoneState.FUNDED or milestone.released_minor > 0


def end_without_funds(locked: Locked, event: Event, by: By, reason: str) -> None:
    """Cancels or expires what is not funded. Money that came for it goes back to the buyer."""
    escrow, milestones = locked
    require(escrow, event, by)
    back_minor = escrow.funded_minor
    for milestone in milestones:
        change_milestone(milestone, MilestoneStep.CANCEL, by)
    if back_minor:
        money.return_part_payment(escrow, by.actor_id)
    change(escrow, event, by, reason=reason, amount_minor=back_minor or None)
    invitations.close_all(escrow)
    metrics.count_after_commit("cancel", "expired" if event == Event.EXPIRE else "completed")


def end_by_agreement(locked: Locked, by: By, reason: str) -> None:
    """Cancels every milestone that has not ended. Raises StepRefused if one is about to be released."""
    escrow, milestones = locked
    for milestone in milestones:
        if milestone.state not in MILESTONE_ENDS:
            money.give_back_rest(escrow, milestone, MilestoneStep.CANCEL, by, reason=reason)
    follow(locked, by)
    metrics.count_after_commit("cancel", "completed")
