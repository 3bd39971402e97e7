"""Escrows (one agreement of a buyer and a seller) and their events."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from core.states import EventText, StateEvent
from escrow.models import rules
from escrow.models.counted import CountedEscrow, CountedEscrowEvent
from escrow.states import ENDS, EXPIRING, HOLDS_ALL, NEGOTIATED, TRANSITIONS, State

STATE_LENGTH = 17

# "Agreed" needs the agreement of buyer and seller to the current terms, and that these are of this escrow.
BOTH_AGREED = """
IF (
    SELECT count(DISTINCT agreement.user_id)
    FROM escrow_escrowagreement AS agreement
    JOIN escrow_escrowterms AS terms ON terms.id = agreement.terms_id
    WHERE agreement.terms_id = NEW.terms_id
      AND terms.escrow_id = NEW.id
      AND agreement.user_id IN (NEW.buyer_id, NEW.seller_id)
) < 2 THEN
    RAISE EXCEPTION 'Both parties have to agree to the current terms of escrow %', NEW.id;
END IF;
RETURN NEW;
"""


class Role(models.TextChoices):
    BUYER = "buyer"
    SELLER = "seller"


class Escrow(CountedEscrow, models.Model):
    """Its state changes only through escrow/escrows/, along TRANSITIONS of escrow/states.py."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    buyer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="escrows_as_buyer",
        help_text="Empty until the invitation is accepted.",
    )
    seller = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="escrows_as_seller",
        help_text="Empty until the invitation is accepted.",
    )
    currency = models.CharField(max_length=3, help_text="ISO 4217.")
    state = models.CharField(max_length=STATE_LENGTH, choices=State, default=State.DRAFT)
    version = models.PositiveIntegerField(default=0, help_text="Counts its changes of state.")
    state_since = models.DateTimeField(
        default=timezone.now, db_default=Now(), help_text="When it entered its state."
    )
    terms = models.ForeignKey(
        "escrow.EscrowTerms",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The current terms.",
    )
    due_minor = models.BigIntegerField(
        default=0, help_text="What the buyer pays by the current terms: amounts and the buyer's fee."
    )
    funded_minor = models.BigIntegerField(default=0, help_text="What arrived of it.")
    short_minor = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="What it holds less than its milestones say, because a payment was taken back.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    agreed_at = models.DateTimeField(null=True, blank=True, help_text="When both had agreed.")
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="When the proposal, or the time to pay, ends."
    )
    frozen_at = models.DateTimeField(null=True, blank=True, help_text="Since then no money leaves it.")
    cancel_asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The party who asked to cancel after the funding.",
    )
    closed_at = models.DateTimeField(null=True, blank=True, help_text="When it reached an end.")

    if TYPE_CHECKING:
        events: Any

    class Meta:
        default_permissions = ("view",)
        permissions = [("freeze_escrow", "Can freeze and unfreeze escrows")]
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(buyer=F("seller")), name="a_buyer_is_not_the_seller"),
            models.CheckConstraint(
                # Not just `= OR =`: a comparison with a missing party would be neither true nor false.
                condition=Q(buyer__isnull=False, creator=F("buyer"))
                | Q(seller__isnull=False, creator=F("seller")),
                name="who_creates_an_escrow_is_a_party",
            ),
            models.CheckConstraint(
                condition=Q(state__in=State.values), name="an_escrow_has_a_state_of_the_table"
            ),
            models.CheckConstraint(
                condition=Q(state__in=[*NEGOTIATED, State.CANCELLED])
                | Q(buyer__isnull=False, seller__isnull=False, agreed_at__isnull=False),
                name="what_goes_on_is_agreed_by_two_parties",
            ),
            models.CheckConstraint(
                condition=Q(state=State.DRAFT) | Q(terms__isnull=False), name="a_proposal_has_terms"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=NEGOTIATED) | Q(agreed_at__isnull=True),
                name="what_is_negotiated_is_not_agreed",
            ),
            models.CheckConstraint(
                condition=Q(due_minor__gte=0, funded_minor__gte=0, funded_minor__lte=F("due_minor")),
                name="an_escrow_holds_at_most_what_is_due",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[State.FUNDED, State.IN_PROGRESS, State.COMPLETED])
                | Q(funded_minor=F("due_minor")),
                name="a_funded_escrow_got_all_that_is_due",
            ),
            models.CheckConstraint(
                condition=Q(short_minor__gte=0, short_minor__lte=F("due_minor")),
                name="an_escrow_is_short_of_at_most_what_is_due",
            ),
            models.CheckConstraint(
                condition=Q(short_minor=0)
                | Q(state__in=HOLDS_ALL, frozen_at__isnull=False)
                | Q(state__in=ENDS),
                name="a_short_escrow_is_frozen_until_it_ends",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=EXPIRING) | Q(expires_at__isnull=False),
                name="what_waits_for_a_party_expires",
            ),
            models.CheckConstraint(
                condition=Q(state__in=ENDS, closed_at__isnull=False)
                | (~Q(state__in=ENDS) & Q(closed_at__isnull=True)),
                name="an_ended_escrow_says_when",
            ),
            models.CheckConstraint(
                condition=Q(cancel_asked_by__isnull=True)
                | Q(cancel_asked_by=F("buyer"))
                | Q(cancel_asked_by=F("seller")),
                name="only_a_party_asks_to_cancel",
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], name="escrow_expiring", condition=Q(state__in=EXPIRING)),
            models.Index(
                fields=["state", "state_since"], name="escrow_open_by_state", condition=~Q(state__in=ENDS)
            ),
            models.Index(fields=["state", "id"], name="escrow_ended_by_state", condition=Q(state__in=ENDS)),
            models.Index(fields=["frozen_at"], name="escrow_frozen", condition=Q(frozen_at__isnull=False)),
        ]
        triggers = [
            rules.follows_the_table("escrow_follows_the_table", TRANSITIONS),
            rules.begins_as("escrow_begins_as_a_draft", State.DRAFT),
            pgtrigger.ReadOnly(
                name="escrow_stays_what_it_is", fields=["public_id", "creator", "currency", "created_at"]
            ),
            rules.fixed_once_set("escrow_keeps_its_buyer", "buyer"),
            rules.fixed_once_set("escrow_keeps_its_seller", "seller"),
            pgtrigger.Protect(
                name="agreed_terms_are_fixed",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__agreed_at__isnull=False)
                & (rules.changed("terms") | rules.changed("agreed_at") | rules.changed("due_minor")),
            ),
            pgtrigger.Trigger(
                name="both_parties_agree",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__agreed_at__isnull=True, new__agreed_at__isnull=False),
                func=BOTH_AGREED,
            ),
            pgtrigger.Protect(
                name="what_arrived_stays_counted",
                operation=pgtrigger.Update,
                # Until all of it is there a payment that is taken back is missing again.
                condition=pgtrigger.Q(new__funded_minor__lt=pgtrigger.F("old__funded_minor"))
                & ~pgtrigger.Q(new__state=State.AWAITING_FUNDS),
            ),
            pgtrigger.Protect(name="escrow_row_stays", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"Escrow {self.public_id}"


class EscrowEvent(CountedEscrowEvent, StateEvent):
    """What happened to an escrow. Appended, never changed."""

    escrow = models.ForeignKey(Escrow, on_delete=models.PROTECT, related_name="events")
    from_state = models.CharField(max_length=STATE_LENGTH, choices=State, blank=True)
    to_state = models.CharField(max_length=STATE_LENGTH, choices=State)
    amount_minor = models.BigIntegerField(null=True, blank=True, help_text="The money of this step, if any.")

    if TYPE_CHECKING:
        written: EscrowEventText

    class Meta(StateEvent.Meta):
        verbose_name = "event of an escrow"
        verbose_name_plural = "events of escrows"
        triggers = [rules.append_only("escrow_event_is_append_only")]

    @property
    def reason(self) -> str:
        """Returns what was written about the event; "" if nothing was, or if it was erased."""
        try:
            return self.written.text
        except EscrowEventText.DoesNotExist:
            return ""


class EscrowEventText(EventText):
    """The reason of an event. Deleted when the account that wrote it is erased."""

    event = models.OneToOneField(
        EscrowEvent, primary_key=True, on_delete=models.PROTECT, related_name="written"
    )
