"""The log of operators who saw a document's full number."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils import timezone

from kyc.models.cases import Case
from kyc.models.counted import CountedNumberAccess


class NumberAccess(CountedNumberAccess, models.Model):
    """One display of a number, stored before it is shown; the database refuses UPDATE and DELETE."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="number_accesses")
    at = models.DateTimeField(default=timezone.now)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name_plural = "number accesses"
        default_permissions = ()
        ordering = ["-id"]
        triggers = [
            pgtrigger.Protect(
                name="number_access_is_append_only", operation=pgtrigger.Update | pgtrigger.Delete
            )
        ]

    def __str__(self) -> str:
        return f"{self.actor_id} at {self.at:%Y-%m-%d %H:%M:%S}"
