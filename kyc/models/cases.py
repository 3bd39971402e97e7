"""Cases (one document of one person) and their events."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils import timezone

from core.states import EventText, StateEvent
from kyc.models.counted import CountedCase, CountedCaseEvent


class State(models.TextChoices):
    DRAFT = "draft"
    SUBMITTED = "submitted"
    IN_REVIEW = "in_review", "in review"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    REVOKED = "revoked"


OPEN = (State.DRAFT, State.SUBMITTED, State.IN_REVIEW)
WAITING = (State.SUBMITTED, State.IN_REVIEW)


class DocumentType(models.TextChoices):
    NIN = "nin", "NIN"
    BVN = "bvn", "BVN"
    PASSPORT = "passport", "passport"
    DRIVERS_LICENCE = "drivers_licence", "driver's licence"
    VOTERS_CARD = "voters_card", "voter's card"
    NATIONAL_ID = "national_id", "national id"


class RejectionReason(models.TextChoices):
    """Why a case is rejected, revoked, or sent back for more."""

    UNREADABLE = "unreadable", "an image can't be read"
    INCOMPLETE = "incomplete", "an image is missing or shows something else"
    EXPIRED_DOCUMENT = "expired_document", "the document has expired"
    NAME_MISMATCH = "name_mismatch", "the name differs from the account's"
    NUMBER_MISMATCH = "number_mismatch", "the number differs from the document's"
    FACE_MISMATCH = "face_mismatch", "the selfie shows another person"
    DUPLICATE = "duplicate", "the document belongs to another account"
    SUSPECTED_FRAUD = "suspected_fraud", "the document looks forged"
    PROVIDER = "provider", "the provider rejected it"
    OTHER = "other"


# Reasons that an operator can choose.
BY_PEOPLE = tuple(code for code in RejectionReason if code != RejectionReason.PROVIDER)
FRAUD = (RejectionReason.SUSPECTED_FRAUD, RejectionReason.DUPLICATE)


class Case(CountedCase, models.Model):
    """Its state changes only through kyc/cases/services.py, along the table in kyc/cases/states.py."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="kyc_cases")
    document_type = models.CharField(max_length=16, choices=DocumentType)
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2.")
    number_encrypted = models.BinaryField(help_text="The document's number, by core/encryption.py.")
    number_hash = models.CharField(max_length=64, help_text="Keyed hash of type, country and number.")
    number_last = models.CharField(max_length=4, help_text="Last characters, which may be shown.")
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT)
    version = models.PositiveIntegerField(default=0, help_text="Counts the changes of state.")
    provider = models.CharField(max_length=16, help_text="The provider that checks the case first.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    submitted_at = models.DateTimeField(null=True, blank=True, help_text="When it last entered the queue.")
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    claimed_until = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    reason_code = models.CharField(max_length=20, choices=RejectionReason, blank=True)
    reason = models.TextField(blank=True, help_text="Text for the account holder.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="When the approval ends.")
    doubted_at = models.DateTimeField(
        null=True, blank=True, help_text="When the provider contradicted this approval; an approver decides."
    )
    erased_at = models.DateTimeField(null=True, blank=True, help_text="Number and documents were deleted.")

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("review_case", "Can claim, approve, reject and send back KYC cases"),
            ("revoke_case", "Can revoke an approval"),
        ]
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["person"],
                condition=models.Q(state__in=["draft", "submitted", "in_review"]),
                name="one_open_case_per_person",
            ),
            models.UniqueConstraint(
                fields=["person", "document_type"],
                condition=models.Q(state="approved"),
                name="one_approval_per_person_and_document_type",
            ),
            models.CheckConstraint(
                condition=models.Q(state="in_review", claimed_by__isnull=False, claimed_until__isnull=False)
                | (
                    ~models.Q(state="in_review")
                    & models.Q(claimed_by__isnull=True, claimed_until__isnull=True)
                ),
                name="a_case_in_review_has_a_reviewer_and_no_other_has",
            ),
            models.CheckConstraint(
                condition=~models.Q(decided_by=models.F("person")), name="nobody_decides_on_their_own_case"
            ),
            models.CheckConstraint(
                condition=~models.Q(claimed_by=models.F("person")), name="nobody_reviews_their_own_case"
            ),
            models.CheckConstraint(
                condition=models.Q(state="approved", expires_at__isnull=False) | ~models.Q(state="approved"),
                name="an_approval_has_an_end",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["rejected", "revoked"]) | ~models.Q(reason_code=""),
                name="a_refusal_has_a_reason",
            ),
            models.CheckConstraint(
                condition=models.Q(doubted_at__isnull=True) | models.Q(state="approved"),
                name="only_an_approval_is_doubted",
            ),
        ]
        indexes = [
            # First, because the migration linter checks only one index, and none with nested brackets.
            models.Index(fields=["number_hash"], name="case_by_number"),
            models.Index(
                fields=["submitted_at", "id"],
                name="case_queue_oldest_first",
                condition=models.Q(state__in=["submitted", "in_review"]),
                include=["state"],
            ),
            models.Index(
                fields=["claimed_until"], name="case_claim_to_lapse", condition=models.Q(state="in_review")
            ),
            models.Index(fields=["expires_at"], name="case_to_expire", condition=models.Q(state="approved")),
            models.Index(
                fields=["doubted_at"], name="case_doubted", condition=models.Q(doubted_at__isnull=False)
            ),
            models.Index(
                fields=["decided_at"],
                name="case_to_erase",
                condition=models.Q(erased_at__isnull=True, state__in=["rejected", "expired", "revoked"]),
            ),
        ]
        triggers = [
            pgtrigger.ReadOnly(name="case_identity_is_fixed", fields=["public_id", "person", "created_at"]),
        ]

    def __str__(self) -> str:
        return f"Case {self.pk}"


class CaseEvent(CountedCaseEvent, StateEvent):
    """Who did what to a case, and why. Appended, never changed: the database refuses UPDATE and DELETE."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="events")
    from_state = models.CharField(max_length=10, choices=State, blank=True)
    to_state = models.CharField(max_length=10, choices=State)
    reason_code = models.CharField(max_length=20, choices=RejectionReason, blank=True)

    if TYPE_CHECKING:
        written: CaseEventText

    class Meta(StateEvent.Meta):
        verbose_name = "event of a case"
        verbose_name_plural = "events of cases"
        triggers = [
            pgtrigger.Protect(name="case_event_is_append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    @property
    def reason(self) -> str:
        """Returns what was written about the event; "" if nothing was, or if it was erased."""
        try:
            return self.written.text
        except CaseEventText.DoesNotExist:
            return ""


class CaseEventText(EventText):
    """The reason or note of an event: of a reviewer, a provider or Amani. Deleted when the case is erased."""

    event = models.OneToOneField(
        CaseEvent, primary_key=True, on_delete=models.PROTECT, related_name="written"
    )
