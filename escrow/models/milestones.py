"""Milestones (the parts of an escrow that are delivered and released one by one) and their events."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from core.states import EventText, StateEvent
from escrow.models import rules
from escrow.models.escrows import STATE_LENGTH, Escrow
from escrow.states import MILESTONE_ENDS, MILESTONE_TRANSITIONS, TIMED, MilestoneState


class Milestone(models.Model):
    """Made when both parties have agreed. Its fees are parts of the escrow's fee, by who pays it."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    escrow = models.ForeignKey(Escrow, on_delete=models.PROTECT, related_name="milestones", db_index=False)
    seq = models.PositiveSmallIntegerField(help_text="Its place among the milestones, from 1.")
    title = models.CharField(max_length=200)
    amount_minor = models.BigIntegerField(help_text="In the currency's smallest unit: kobo, cent.")
    buyer_fee_minor = models.BigIntegerField(default=0, help_text="What the buyer pays on top of the amount.")
    seller_fee_minor = models.BigIntegerField(default=0, help_text="What the seller's money is less by.")
    released_minor = models.BigIntegerField(default=0, help_text="Of the amount, fees included.")
    refunded_minor = models.BigIntegerField(default=0, help_text="Of the amount.")
    state = models.CharField(max_length=STATE_LENGTH, choices=MilestoneState, default=MilestoneState.PENDING)
    version = models.PositiveIntegerField(default=0, help_text="Counts its changes.")
    state_since = models.DateTimeField(
        default=timezone.now, db_default=Now(), help_text="When it entered its state."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    submitted_at = models.DateTimeField(null=True, blank=True)
    auto_release_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When it is released without the buyer; later than promised if something was in the way.",
    )
    closed_at = models.DateTimeField(null=True, blank=True, help_text="When it reached an end.")

    if TYPE_CHECKING:
        escrow_id: int
        events: Any

    class Meta:
        default_permissions = ("view",)
        ordering = ["escrow", "seq"]
        constraints = [
            models.UniqueConstraint(fields=["escrow", "seq"], name="one_milestone_per_place"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="a_milestone_is_worth_something"),
            models.CheckConstraint(
                condition=Q(
                    buyer_fee_minor__gte=0, seller_fee_minor__gte=0, seller_fee_minor__lte=F("amount_minor")
                ),
                name="a_sellers_fee_is_at_most_the_amount",
            ),
            models.CheckConstraint(
                condition=Q(
                    released_minor__gte=0,
                    refunded_minor__gte=0,
                    amount_minor__gte=F("released_minor") + F("refunded_minor"),
                ),
                name="a_milestone_gives_at_most_its_amount",
            ),
            models.CheckConstraint(
                condition=Q(state__in=MilestoneState.values), name="a_milestone_has_a_state_of_the_table"
            ),
            models.CheckConstraint(
                condition=~Q(state=MilestoneState.RELEASED) | Q(released_minor=F("amount_minor")),
                name="a_released_milestone_gave_its_whole_amount",
            ),
            models.CheckConstraint(
                condition=~Q(state=MilestoneState.REFUNDED)
                | Q(amount_minor=F("released_minor") + F("refunded_minor")),
                name="a_refunded_milestone_has_nothing_left",
            ),
            models.CheckConstraint(
                condition=~Q(state=MilestoneState.PENDING) | Q(released_minor=0, refunded_minor=0),
                name="nothing_leaves_before_the_money_is_there",
            ),
            models.CheckConstraint(
                condition=Q(state__in=TIMED, auto_release_at__isnull=False)
                | (~Q(state__in=TIMED) & Q(auto_release_at__isnull=True)),
                name="only_what_waits_for_its_release_has_a_time",
            ),
            models.CheckConstraint(
                condition=Q(state__in=MILESTONE_ENDS, closed_at__isnull=False)
                | (~Q(state__in=MILESTONE_ENDS) & Q(closed_at__isnull=True)),
                name="an_ended_milestone_says_when",
            ),
        ]
        indexes = [
            models.Index(
                fields=["auto_release_at"],
                name="milestone_to_release",
                condition=Q(auto_release_at__isnull=False),
            ),
            models.Index(
                fields=["state", "state_since"],
                name="milestone_open_by_state",
                condition=~Q(state__in=MILESTONE_ENDS),
            ),
        ]
        triggers = [
            rules.follows_the_table("milestone_follows_the_table", MILESTONE_TRANSITIONS),
            rules.begins_as("milestone_begins_without_money", MilestoneState.PENDING),
            pgtrigger.ReadOnly(
                name="milestone_stays_as_agreed",
                fields=[
                    "public_id",
                    "escrow",
                    "seq",
                    "title",
                    "amount_minor",
                    "buyer_fee_minor",
                    "seller_fee_minor",
                    "created_at",
                ],
            ),
            rules.never_less("money_that_left_stays_counted", "released_minor", "refunded_minor"),
            pgtrigger.Protect(name="milestone_row_stays", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"Milestone {self.public_id}"

    @property
    def rest_minor(self) -> int:
        """What is neither released nor refunded."""
        return self.amount_minor - self.released_minor - self.refunded_minor


class MilestoneEvent(StateEvent):
    """What happened to a milestone. Appended, never changed."""

    milestone = models.ForeignKey(Milestone, on_delete=models.PROTECT, related_name="events")
    from_state = models.CharField(max_length=STATE_LENGTH, choices=MilestoneState, blank=True)
    to_state = models.CharField(max_length=STATE_LENGTH, choices=MilestoneState)
    amount_minor = models.BigIntegerField(null=True, blank=True, help_text="The money of this step, if any.")

    if TYPE_CHECKING:
        written: MilestoneEventText

    class Meta(StateEvent.Meta):
        verbose_name = "event of a milestone"
        verbose_name_plural = "events of milestones"
        triggers = [rules.append_only("milestone_event_is_append_only")]

    @property
    def reason(self) -> str:
        """Returns what was written about the event; "" if nothing was, or if it was erased."""
        try:
            return self.written.text
        except MilestoneEventText.DoesNotExist:
            return ""


class MilestoneEventText(EventText):
    """The reason of an event. Deleted when the account that wrote it is erased."""

    event = models.OneToOneField(
        MilestoneEvent, primary_key=True, on_delete=models.PROTECT, related_name="written"
    )
