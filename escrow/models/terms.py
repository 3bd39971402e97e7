"""What the parties agree to: terms, agreements, invitations, and the rules of the fee."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from escrow.models import rules
from escrow.models.counted import CountedEscrowTerms, CountedFeeRule, CountedInvitation
from escrow.models.escrows import Escrow

NOT_AGREED_YET = """
IF EXISTS (SELECT FROM escrow_escrow WHERE id = NEW.escrow_id AND agreed_at IS NOT NULL) THEN
    RAISE EXCEPTION 'The terms of escrow % are agreed', NEW.escrow_id;
END IF;
RETURN NEW;
"""


class EscrowTerms(CountedEscrowTerms, models.Model):
    """One version of the terms. Appended, never changed; none follows after both parties agreed."""

    escrow = models.ForeignKey(Escrow, on_delete=models.PROTECT, related_name="versions", db_index=False)
    number = models.PositiveSmallIntegerField(help_text="Counts the versions, from 1.")
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    document = models.JSONField(help_text="What is agreed to, see escrow/escrows/terms.py.")
    hash = models.CharField(max_length=64, help_text="SHA-256 of the canonical document.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "terms"
        verbose_name_plural = "terms"
        default_permissions = ("view",)
        ordering = ["escrow", "number"]
        constraints = [
            models.UniqueConstraint(fields=["escrow", "number"], name="one_version_of_terms_per_number"),
        ]
        triggers = [
            rules.append_only("terms_are_append_only"),
            pgtrigger.Trigger(
                name="no_terms_after_the_agreement",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert,
                func=NOT_AGREED_YET,
            ),
        ]

    def __str__(self) -> str:
        return f"Terms {self.number} of {self.escrow_id}"


class EscrowAgreement(models.Model):
    """The agreement of one party to one version of the terms. Appended, never changed."""

    terms = models.ForeignKey(
        EscrowTerms, on_delete=models.PROTECT, related_name="agreements", db_index=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    at = models.DateTimeField(default=timezone.now)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = "agreement"
        default_permissions = ("view",)
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["terms", "user"], name="a_party_agrees_once")]
        triggers = [rules.append_only("agreement_is_append_only")]

    def __str__(self) -> str:
        return f"{self.user_id} to {self.terms_id}"


class Invitation(CountedInvitation, models.Model):
    """Asks the holder of an e-mail address to become the other party. The address goes when it is over."""

    class State(models.TextChoices):
        OPEN = "open"
        ACCEPTED = "accepted"
        OVER = "over", "expired, or the proposal ended"

    escrow = models.ForeignKey(Escrow, on_delete=models.PROTECT, related_name="invitations")
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    email = models.EmailField(blank=True, help_text="In lower case; empty when the invitation is over.")
    token_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the mail's token.")
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )

    class Meta:
        default_permissions = ("view",)
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["escrow"], condition=Q(state="open"), name="one_open_invitation_per_escrow"
            ),
            models.CheckConstraint(
                condition=(Q(state="open") & ~Q(email="")) | (~Q(state="open") & Q(email="")),
                name="an_invitation_has_its_address_while_it_is_open",
            ),
            models.CheckConstraint(
                condition=Q(state="accepted", accepted_at__isnull=False, accepted_by__isnull=False)
                | (~Q(state="accepted") & Q(accepted_at__isnull=True, accepted_by__isnull=True)),
                name="an_accepted_invitation_says_by_whom",
            ),
        ]
        indexes = [
            models.Index(fields=["email"], name="invitation_by_address", condition=Q(state="open")),
            models.Index(fields=["invited_by", "created_at"], name="invitation_by_sender"),
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="invitation_stays_what_it_is",
                fields=["escrow", "invited_by", "token_hash", "created_at", "expires_at"],
            ),
            pgtrigger.Protect(
                name="an_invitation_is_used_once",
                operation=pgtrigger.Update,
                condition=~pgtrigger.Q(old__state="open") & rules.changed("state"),
            ),
        ]

    def __str__(self) -> str:
        return f"Invitation {self.pk}"


class FeeRule(CountedFeeRule, models.Model):
    """What Amani takes, from a time on. Rows are added and never changed, so the history is complete."""

    currency = models.CharField(max_length=3, help_text="ISO 4217.")
    from_at = models.DateTimeField(default=timezone.now)
    percent_basis_points = models.PositiveIntegerField(help_text="100 is 1 %.")
    fixed_minor = models.BigIntegerField(default=0)
    minimum_minor = models.BigIntegerField(default=0)
    maximum_minor = models.BigIntegerField(null=True, blank=True, help_text="Empty: none.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Empty: a default of Amani.",
    )
    reason = models.TextField()

    class Meta:
        verbose_name = "fee"
        default_permissions = ("view",)
        permissions = [("set_fees", "Can set fees")]
        ordering = ["currency", "-from_at"]
        constraints = [
            models.UniqueConstraint(fields=["currency", "from_at"], name="one_fee_per_moment"),
            models.CheckConstraint(
                condition=Q(percent_basis_points__lt=10_000), name="a_fee_is_less_than_the_whole"
            ),
            models.CheckConstraint(
                condition=Q(fixed_minor__gte=0, minimum_minor__gte=0), name="a_fee_is_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(maximum_minor__isnull=True) | Q(maximum_minor__gte=F("minimum_minor")),
                name="a_fees_maximum_is_not_below_its_minimum",
            ),
        ]
        triggers = [rules.append_only("fee_rule_is_append_only")]

    def __str__(self) -> str:
        return f"{self.currency} from {self.from_at:%Y-%m-%d}"
