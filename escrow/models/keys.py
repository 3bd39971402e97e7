"""The idempotency keys of the API's writes, with the answers that are given again."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F, Q

from core.api.keys import KeptAnswer


class IdempotencyKey(KeptAnswer):
    class Meta(KeptAnswer.Meta):
        constraints = [
            models.UniqueConstraint(fields=["principal", "key"], name="one_answer_per_idempotency_key"),
            models.CheckConstraint(
                condition=Q(expires_at=None) | Q(expires_at__gte=F("created_at") + timedelta(hours=24)),
                name="an_idempotency_key_is_kept_for_a_day",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=False) | Q(moves_money=True, status=None),
                name="a_key_without_an_end_is_spent_on_money",
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"], name="idempotency_key_expires", condition=Q(expires_at__isnull=False)
            )
        ]
