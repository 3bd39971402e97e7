"""The images of a case. The rows have only metadata; the encrypted content is in the storage."""

from __future__ import annotations

import uuid

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils import timezone

from kyc.models.cases import Case
from kyc.models.counted import CountedDocumentAccess


class Side(models.TextChoices):
    FRONT = "front"
    BACK = "back"
    SELFIE = "selfie"


class Document(models.Model):
    """An image or PDF without its metadata. A resubmission adds new rows and keeps the old ones."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="documents")
    side = models.CharField(max_length=6, choices=Side)
    content_type = models.CharField(max_length=32, help_text="Detected from the content.")
    size = models.PositiveIntegerField(help_text="Bytes before encryption.")
    sha256 = models.CharField(max_length=64, help_text="Hash of the sanitised content before encryption.")
    stored_as = models.CharField(max_length=200, unique=True, help_text="Name in the storage.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    replaced_at = models.DateTimeField(null=True, blank=True, help_text="When a newer image replaced it.")
    deleted_at = models.DateTimeField(null=True, blank=True, help_text="From then on it is not shown.")
    file_deleted_at = models.DateTimeField(null=True, blank=True, help_text="When its file was deleted.")

    class Meta:
        default_permissions = ("view",)
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["case", "side"],
                condition=models.Q(replaced_at__isnull=True, deleted_at__isnull=True),
                name="one_current_image_per_side",
            ),
            models.CheckConstraint(
                condition=models.Q(file_deleted_at=None) | models.Q(deleted_at__isnull=False),
                name="a_file_goes_after_its_row_said_so",
            ),
        ]
        indexes = [
            models.Index(fields=["sha256"], name="document_by_content"),
            models.Index(
                fields=["id"],
                name="document_file_to_delete",
                condition=models.Q(deleted_at__isnull=False, file_deleted_at__isnull=True),
            ),
            models.Index(
                fields=["replaced_at"],
                name="document_replaced",
                condition=models.Q(replaced_at__isnull=False, deleted_at__isnull=True),
            ),
        ]
        triggers = [
            pgtrigger.ReadOnly(
                name="document_is_evidence",
                fields=["public_id", "case", "side", "content_type", "size", "sha256", "created_at"],
            ),
            pgtrigger.Protect(name="document_row_stays", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.get_side_display()} of {self.case_id}"


class DocumentAccess(CountedDocumentAccess, models.Model):
    """One display of an image, stored before it is shown; the database refuses UPDATE and DELETE."""

    document = models.ForeignKey(Document, on_delete=models.PROTECT, related_name="accesses")
    at = models.DateTimeField(default=timezone.now)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name_plural = "document accesses"
        default_permissions = ("view",)
        ordering = ["-id"]
        triggers = [
            pgtrigger.Protect(
                name="document_access_is_append_only", operation=pgtrigger.Update | pgtrigger.Delete
            )
        ]

    def __str__(self) -> str:
        return f"{self.actor_id} at {self.at:%Y-%m-%d %H:%M:%S}"
