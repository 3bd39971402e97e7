"""Idempotency keys: what names a request, and the table that keeps the first answer to each.

core/api/once.py decorates the views. An app has a table of its own:

    class IdempotencyKey(KeptAnswer): ...        # with UniqueConstraint(fields=["principal", "key"], ...)
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from core.errors import AmaniError, Conflict

HEADER = "Idempotency-Key"
SHORTEST_KEY, LONGEST_KEY = 8, 255
KEY = re.compile(rf"[\x21-\x7e]{{{SHORTEST_KEY},{LONGEST_KEY}}}")
LEAST_KEPT = timedelta(hours=24)
FORGOTTEN_AT_ONCE = 1_000
MOST_BATCHES = 20
# Waits for a transaction that has inserted the same key, until it ends.
CLAIM = """
INSERT INTO {table} (principal_id, key, request_hash, moves_money, body, headers, created_at, expires_at)
VALUES (%(principal)s, %(key)s, %(hash)s, %(money)s, '', '{{}}', %(now)s, %(until)s)
ON CONFLICT (principal_id, key) DO NOTHING
RETURNING id
"""


class KeyMissing(AmaniError):
    code = "idempotency_key_missing"

    def __init__(self) -> None:
        super().__init__(
            f"Send the header {HEADER}: a name of your own for this request, for example a new UUID.",
            fields={HEADER: ["This header is required."]},
        )


class KeyMalformed(AmaniError):
    code = "idempotency_key_malformed"

    def __init__(self) -> None:
        super().__init__(
            f"{HEADER} has {SHORTEST_KEY} to {LONGEST_KEY} visible ASCII characters, for example a UUID.",
            fields={HEADER: [f"{SHORTEST_KEY} to {LONGEST_KEY} visible ASCII characters."]},
        )


class KeyReused(Conflict):
    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(
            f"You have used this {HEADER} for another request. Nothing was done. Use a new key for a new "
            "request, or send the first request again unchanged."
        )


class KeySpent(Conflict):
    code = "idempotency_key_spent"

    def __init__(self) -> None:
        super().__init__(
            f"You have used this {HEADER} long ago; what was answered then is no longer kept. Nothing was "
            "done. Look at what is there now, and use a new key for a new request."
        )


class KeptAnswer(models.Model):
    """The answer to the first request with a key. A row without a status is spent: its answer is forgotten.

    The subclass adds the unique constraint of principal and key, and an index on `expires_at`.
    """

    principal = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    key = models.CharField(max_length=LONGEST_KEY)
    request_hash = models.BinaryField(help_text="Of method, address and body.")
    moves_money = models.BooleanField(help_text="The key stays spent when its answer is forgotten.")
    status = models.PositiveSmallIntegerField(null=True)
    body = models.BinaryField(default=b"")
    headers = models.JSONField(default=dict, help_text="Location and ETag.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, help_text="Null: the answer is forgotten already.")

    class Meta:
        abstract = True
        default_permissions = ()

    def __str__(self) -> str:
        return f"Answer {self.pk}"


def claim(
    model: type[KeptAnswer],
    *,
    principal_id: int,
    key: str,
    request_hash: bytes,
    moves_money: bool,
    kept_for: timedelta,
) -> int | None:
    """Inserts the key's row in the caller's transaction and returns its id; None if the key has one.

    If another transaction has just inserted the key, this waits until that ends.
    """
    now = timezone.now()
    values: dict[str, Any] = {
        "principal": principal_id,
        "key": key,
        "hash": request_hash,
        "money": moves_money,
        "now": now,
        "until": now + max(kept_for, LEAST_KEPT),
    }
    table = connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001  (Django's documented way)
    with connection.cursor() as cursor:
        cursor.execute(CLAIM.format(table=table), values)
        found = cursor.fetchone()
    return found[0] if found else None


def forget_old(model: type[KeptAnswer]) -> int:
    """Forgets answers whose time is over, in batches, and returns how many.

    Keys of requests that moved money stay, spent: repeated after years, they still move nothing.
    """
    forgotten = 0
    for _ in range(MOST_BATCHES):
        found = forget_batch(model, timezone.now())
        forgotten += found
        if found < FORGOTTEN_AT_ONCE:
            break
    return forgotten


def forget_batch(model: type[KeptAnswer], now: datetime) -> int:
    rows = model._default_manager.all()  # noqa: SLF001  (Django's documented way)
    over = Q(expires_at__lte=now, created_at__lte=now - LEAST_KEPT)
    with transaction.atomic():
        due = rows.filter(over).order_by("expires_at").select_for_update(skip_locked=True)
        found = list(due.values_list("pk", "moves_money")[:FORGOTTEN_AT_ONCE])
        rows.filter(pk__in=[pk for pk, moves_money in found if not moves_money]).delete()
        spent = rows.filter(pk__in=[pk for pk, moves_money in found if moves_money])
        spent.update(status=None, body=b"", headers={}, expires_at=None)
    return len(found)


def key_of(request: HttpRequest) -> str:
    """Returns the request's key. Raises KeyMissing or KeyMalformed."""
    key = request.headers.get(HEADER, "")
    if not key:
        raise KeyMissing
    if not KEY.fullmatch(key):
        raise KeyMalformed
    return key


def hash_of(request: HttpRequest, secret: str = "") -> bytes:
    """Returns a hash of what the request asks for: method, address, and the body as JSON, in one form.

    Order and spaces in JSON do not matter: a client may write its request anew when it sends it again. Keyed
    with SECRET_KEY, or an earlier `secret`, because a body may have a bank account, of which there are few.
    """
    body: Any = json.loads(request.body) if request.body else None
    parts = json.dumps([request.method, request.get_full_path(), body], sort_keys=True, separators=(",", ":"))
    return salted_hmac("core.api.keys", parts, secret or settings.SECRET_KEY, algorithm="sha256").digest()


def is_same(request: HttpRequest, kept: KeptAnswer) -> bool:
    """Returns whether the request asks for what the first one with its key did."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(hash_of(request, secret) == bytes(kept.request_hash) for secret in secrets)
