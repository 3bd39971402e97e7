"""Collections and payouts, what providers reported and were asked, and where they contradict Amani."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from core.leases import LeasedWork
from core.states import StateEvent
from core.webhooks import Evidence
from escrow.models import rules
from escrow.models.counted import (
    CountedCollection,
    CountedCollectionEvent,
    CountedPaymentEvent,
    CountedPayout,
    CountedPayoutEvent,
    CountedProviderCall,
)
from escrow.models.escrows import Escrow
from escrow.payments.states import (
    COLLECTION_OPEN,
    COLLECTION_TRANSITIONS,
    PAYOUT_ENDS,
    PAYOUT_OPEN,
    PAYOUT_TRANSITIONS,
    CollectionState,
    PayoutState,
)

PROVIDER_LENGTH = 16
REFERENCE_LENGTH = 64
FINAL = [state.value for state in PAYOUT_ENDS]
MONEY_CAME = [CollectionState.RECEIVED.value, CollectionState.REVERSED.value]


class Source(models.TextChoices):
    """The account of the user that a payout takes from."""

    PAYABLE = "payable", "earned as a seller"
    REFUNDABLE = "refundable", "refunded as a buyer"


class Payout(CountedPayout, LeasedWork):
    """Money on its way to a user. Its state changes only along the table in escrow/payments/states.py.

    It has one reference for ever: a payout whose outcome is unknown is asked about with it, never sent with
    another one.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="payouts")
    source = models.CharField(max_length=10, choices=Source)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3, help_text="ISO 4217.")
    provider = models.CharField(max_length=PROVIDER_LENGTH)
    reference = models.CharField(
        max_length=REFERENCE_LENGTH, unique=True, help_text="Our id, stored before the first request."
    )
    provider_reference = models.CharField(max_length=100, blank=True, help_text="The provider's id.")
    state = models.CharField(max_length=10, choices=PayoutState, default=PayoutState.REQUESTED)
    version = models.PositiveIntegerField(default=0, help_text="Counts its changes of state.")
    state_since = models.DateTimeField(default=timezone.now, help_text="When it entered its state.")
    key = models.CharField(
        max_length=255, blank=True, help_text="The caller's key: one payout for each of a user."
    )
    destination_encrypted = models.BinaryField(help_text="The bank account, by core/encryption.py.")
    destination_last = models.CharField(max_length=4, help_text="Last digits, which may be shown.")
    hold_id = models.BigIntegerField(null=True, help_text="The transfer that holds the money.")
    first_sent_at = models.DateTimeField(
        null=True, blank=True, help_text="When the first request began that may have reached the provider."
    )
    last_sent_at = models.DateTimeField(null=True, blank=True, help_text="When the last one began.")
    recheck_at = models.DateTimeField(
        null=True, blank=True, help_text="When a settled payout is asked about next: its money may come back."
    )

    if TYPE_CHECKING:
        events: Any

    class Meta:
        default_permissions = ("view",)
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "key"], condition=~Q(key=""), name="a_user_uses_a_payout_key_once"
            ),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="a_payout_has_an_amount"),
            models.CheckConstraint(
                condition=Q(state__in=PayoutState.values), name="a_payout_has_a_state_of_the_table"
            ),
            models.CheckConstraint(
                condition=Q(state__in=FINAL, next_attempt_at__isnull=True, finished_at__isnull=False)
                | (~Q(state__in=FINAL) & Q(next_attempt_at__isnull=False, finished_at__isnull=True)),
                name="an_ended_payout_is_not_worked_on",
            ),
            models.CheckConstraint(
                condition=Q(state=PayoutState.REQUESTED) | Q(first_sent_at__isnull=False),
                name="a_payout_was_sent_before_anything_came_of_it",
            ),
            models.CheckConstraint(
                condition=Q(first_sent_at__isnull=True, last_sent_at__isnull=True)
                | Q(first_sent_at__lte=F("last_sent_at")),
                name="a_payout_was_first_sent_first",
            ),
            models.CheckConstraint(
                condition=Q(recheck_at__isnull=True) | Q(state=PayoutState.SETTLED),
                name="only_a_settled_payout_is_asked_about_after_its_end",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                name="payout_due",
                condition=Q(state__in=[state.value for state in PAYOUT_OPEN]),
                include=["state"],
            ),
            models.Index(
                fields=["lease_until"], name="payout_leased", condition=Q(lease_until__isnull=False)
            ),
            models.Index(
                fields=["recheck_at"], name="payout_recheck_due", condition=Q(recheck_at__isnull=False)
            ),
            models.Index(fields=["state", "id"], name="payout_ended_by_state", condition=Q(state__in=FINAL)),
            models.Index(
                fields=["state", "state_since"],
                name="payout_open_by_state",
                condition=Q(state__in=[state.value for state in PAYOUT_OPEN]),
            ),
        ]
        triggers = [
            rules.follows_the_table("payout_follows_the_table", PAYOUT_TRANSITIONS),
            rules.begins_as("payout_begins_as_requested", PayoutState.REQUESTED),
            pgtrigger.ReadOnly(
                name="payout_stays_what_it_is",
                fields=[
                    "public_id",
                    "user",
                    "source",
                    "amount_minor",
                    "currency",
                    "provider",
                    "reference",
                    "key",
                    "created_at",
                ],
            ),
            rules.fixed_once_set("payout_keeps_its_hold", "hold_id"),
            pgtrigger.Protect(name="payout_row_stays", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"Payout {self.public_id}"


class PayoutEvent(CountedPayoutEvent, StateEvent):
    """What happened to a payout. Appended, never changed."""

    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, related_name="events")
    text = models.CharField(max_length=300, blank=True, help_text="The provider's status, or why.")

    class Meta(StateEvent.Meta):
        verbose_name = "event of a payout"
        verbose_name_plural = "events of payouts"
        triggers = [rules.append_only("payout_event_is_append_only")]


class Collection(CountedCollection, LeasedWork):
    """A payment of a buyer for an escrow, asked for at a provider. It has one reference for ever.

    Its state changes only along the table in escrow/payments/states.py.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    escrow = models.ForeignKey(Escrow, on_delete=models.PROTECT, related_name="collections")
    payer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    amount_minor = models.BigIntegerField(help_text="What is asked for.")
    currency = models.CharField(max_length=3, help_text="ISO 4217.")
    provider = models.CharField(max_length=PROVIDER_LENGTH)
    reference = models.CharField(
        max_length=REFERENCE_LENGTH, unique=True, help_text="Our id, stored before the first request."
    )
    provider_reference = models.CharField(max_length=100, blank=True, help_text="The provider's id.")
    state = models.CharField(max_length=10, choices=CollectionState, default=CollectionState.STARTED)
    version = models.PositiveIntegerField(default=0, help_text="Counts its changes of state.")
    state_since = models.DateTimeField(default=timezone.now, help_text="When it entered its state.")
    checkout_url = models.CharField(max_length=500, blank=True, help_text="Where the buyer pays.")
    received_minor = models.BigIntegerField(default=0, help_text="What came.")
    received_currency = models.CharField(max_length=3, blank=True)
    fee_minor = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="What the provider kept of it, once it has said so.",
    )

    if TYPE_CHECKING:
        events: Any

    class Meta:
        default_permissions = ("view",)
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["escrow"],
                condition=Q(state__in=[state.value for state in COLLECTION_OPEN]),
                name="one_open_collection_per_escrow",
            ),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="a_collection_has_an_amount"),
            models.CheckConstraint(
                condition=Q(state__in=CollectionState.values), name="a_collection_has_a_state_of_the_table"
            ),
            models.CheckConstraint(
                condition=Q(state__in=MONEY_CAME, received_minor__gt=0)
                | (~Q(state__in=MONEY_CAME) & Q(received_minor=0, received_currency="")),
                name="a_received_collection_says_what_came",
            ),
            models.CheckConstraint(
                condition=Q(fee_minor__isnull=True)
                | Q(state__in=MONEY_CAME, fee_minor__gt=0, fee_minor__lte=F("received_minor")),
                name="a_fee_is_a_part_of_what_came",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=[state.value for state in COLLECTION_OPEN],
                    next_attempt_at__isnull=False,
                    finished_at__isnull=True,
                )
                | (
                    ~Q(state__in=[state.value for state in COLLECTION_OPEN])
                    & Q(next_attempt_at__isnull=True, finished_at__isnull=False)
                ),
                name="an_ended_collection_is_not_worked_on",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                name="collection_due",
                condition=Q(state__in=[state.value for state in COLLECTION_OPEN]),
                include=["state"],
            ),
            models.Index(
                fields=["lease_until"], name="collection_leased", condition=Q(lease_until__isnull=False)
            ),
            models.Index(
                fields=["state", "id"],
                name="collection_ended_by_state",
                condition=Q(state__in=["received", "unpaid", "reversed"]),
            ),
        ]
        triggers = [
            rules.follows_the_table("collection_follows_the_table", COLLECTION_TRANSITIONS),
            rules.begins_as("collection_begins_as_started", CollectionState.STARTED),
            pgtrigger.ReadOnly(
                name="collection_stays_what_it_is",
                fields=[
                    "public_id",
                    "escrow",
                    "payer",
                    "amount_minor",
                    "currency",
                    "provider",
                    "reference",
                    "created_at",
                ],
            ),
            rules.fixed_once_set("collection_keeps_its_fee", "fee_minor"),
            pgtrigger.Protect(name="collection_row_stays", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"Collection {self.public_id}"


class CollectionEvent(CountedCollectionEvent, StateEvent):
    """What happened to a collection. Appended, never changed."""

    collection = models.ForeignKey(Collection, on_delete=models.PROTECT, related_name="events")
    text = models.CharField(max_length=300, blank=True, help_text="The provider's status, or why.")

    class Meta(StateEvent.Meta):
        verbose_name = "event of a collection"
        verbose_name_plural = "events of collections"
        triggers = [rules.append_only("collection_event_is_append_only")]


class PaymentEvent(CountedPaymentEvent, Evidence):
    """A webhook of a provider with its unchanged body, stored before it is processed.

    Some with a wrong signature are stored too. The body has names and addresses, so it is encrypted.
    """

    class State(models.TextChoices):
        PENDING = "pending", "to be processed"
        DONE = "done"
        UNMATCHED = "unmatched", "no reference of ours"
        REFUSED = "refused", "wrong signature"
        FAILED = "failed", "given up"

    provider = models.CharField(max_length=PROVIDER_LENGTH)
    event_id = models.CharField(max_length=128, help_text="The provider's id, or the hash of the body.")
    kind = models.CharField(max_length=64, blank=True, help_text="What the provider calls it.")
    reference = models.CharField(max_length=REFERENCE_LENGTH, blank=True)
    body = models.BinaryField(help_text="As received, encrypted by core/encryption.py.")
    signature_ok = models.BooleanField()
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    reason = models.TextField(blank=True)
    payout = models.ForeignKey(
        Payout, null=True, blank=True, on_delete=models.PROTECT, related_name="payment_events"
    )
    collection = models.ForeignKey(
        Collection, null=True, blank=True, on_delete=models.PROTECT, related_name="payment_events"
    )
    attempt_count = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now, null=True, blank=True)
    processed_at = models.DateTimeField(null=True, blank=True)
    asked_again_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The operator who last had it processed again.",
    )
    asked_again_because = models.TextField(blank=True)

    class Meta:
        verbose_name = "payment event"
        default_permissions = ("view",)
        permissions = [("reprocess_paymentevent", "Can process a payment provider's webhook again")]
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "event_id"],
                condition=Q(signature_ok=True),
                name="a_payment_event_is_stored_once",
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="payment_event_due", condition=Q(state="pending")),
            models.Index(
                fields=["provider", "received_at"],
                name="payment_event_refused",
                condition=Q(state="refused"),
            ),
            models.Index(fields=["received_at"], name="payment_event_by_age"),
            models.Index(
                fields=["state", "id"],
                name="payment_event_not_done",
                condition=Q(state__in=["unmatched", "refused", "failed"]),
            ),
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="payment_event_is_evidence",
                fields=["provider", "event_id", "kind", "reference", "received_at", "body", "signature_ok"],
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind or 'webhook'} of {self.provider}"


class ProviderCall(CountedProviderCall, models.Model):
    """One request to a provider and its outcome, without secrets and accounts. Appended, never changed."""

    at = models.DateTimeField(default=timezone.now)
    provider = models.CharField(max_length=PROVIDER_LENGTH)
    operation = models.CharField(max_length=16, help_text="collect, ask_collection, pay or ask_payout.")
    outcome = models.CharField(max_length=10, help_text="ok, retry, rejected, unknown or not_found.")
    text = models.CharField(max_length=300, blank=True, help_text="The provider's status, or why.")
    seconds = models.FloatField(help_text="How long it took.")
    payout = models.ForeignKey(Payout, null=True, blank=True, on_delete=models.PROTECT, related_name="calls")
    collection = models.ForeignKey(
        Collection, null=True, blank=True, on_delete=models.PROTECT, related_name="calls"
    )

    class Meta:
        verbose_name = "request to a provider"
        verbose_name_plural = "requests to providers"
        default_permissions = ("view",)
        ordering = ["-id"]
        triggers = [rules.append_only("provider_call_is_append_only")]

    def __str__(self) -> str:
        return f"{self.operation} at {self.provider}: {self.outcome}"


class Contradiction(models.Model):
    """What a provider says against what Amani has booked. It moves nothing; an approver closes it.

    Its rows are kept, with who closed them, when, and why.
    """

    class Kind(models.TextChoices):
        OTHER_AMOUNT = "other_amount", "another amount"
        OTHER_CURRENCY = "other_currency", "another currency"
        OTHER_REFERENCE = "other_reference", "another reference"
        AFTER_THE_END = "after_the_end", "another end than the one that is booked"
        NOT_KNOWN_THERE = "not_known_there", "the provider no longer knows it"
        TAKEN_BACK = "taken_back", "money that was received is taken back"

    at = models.DateTimeField(default=timezone.now)
    provider = models.CharField(max_length=PROVIDER_LENGTH)
    kind = models.CharField(max_length=16, choices=Kind)
    booked = models.CharField(max_length=100, help_text="What Amani knows.")
    said = models.CharField(max_length=100, help_text="What the provider says.")
    payout = models.ForeignKey(
        Payout, null=True, blank=True, on_delete=models.PROTECT, related_name="contradictions"
    )
    collection = models.ForeignKey(
        Collection, null=True, blank=True, on_delete=models.PROTECT, related_name="contradictions"
    )
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    closed_because = models.TextField(
        blank=True, default="", db_default="", help_text="Emptied when the account it is about is deleted."
    )

    class Meta:
        default_permissions = ("view",)
        permissions = [("close_contradiction", "Can close what a payment provider contradicts")]
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["payout", "kind", "booked", "said"], name="a_contradiction_is_noted_once"
            ),
            models.UniqueConstraint(
                fields=["collection", "kind", "booked", "said"],
                name="a_contradiction_of_a_collection_is_noted_once",
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True, closed_by__isnull=True, closed_because="")
                | Q(closed_at__isnull=False, closed_by__isnull=False),
                name="a_contradiction_is_closed_by_an_operator",
            ),
        ]
        indexes = [
            models.Index(
                fields=["id"],
                name="contradiction_open",
                condition=Q(closed_at__isnull=True),
                include=["provider", "kind", "at"],
            ),
        ]
        triggers = [
            pgtrigger.Protect(name="a_contradiction_is_kept", operation=pgtrigger.Delete),
            pgtrigger.ReadOnly(
                name="a_contradiction_stays_what_it_is",
                fields=["at", "provider", "kind", "booked", "said", "payout", "collection"],
            ),
            pgtrigger.Protect(
                name="a_contradiction_begins_open",
                operation=pgtrigger.Insert,
                condition=pgtrigger.Q(new__closed_at__isnull=False),
            ),
            pgtrigger.Protect(
                name="a_contradiction_is_closed_with_a_reason",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(
                    old__closed_at__isnull=True, new__closed_at__isnull=False, new__closed_because=""
                ),
            ),
            pgtrigger.Protect(
                name="a_closed_contradiction_stays_closed",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__closed_at__isnull=False)
                & (
                    rules.changed("closed_at")
                    | rules.changed("closed_by")
                    | (rules.changed("closed_because") & ~pgtrigger.Q(new__closed_because=""))
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.said}"
