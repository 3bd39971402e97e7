"""Notes what a provider says against what Amani has booked: a row, a metric and a log line; nothing moves."""

from __future__ import annotations

from functools import partial

import structlog
from django.db import transaction

from escrow import metrics
from escrow.models.payments import Collection, Contradiction, Payout

Kind = Contradiction.Kind
LONGEST = 100

log = structlog.get_logger(__name__)


def note(subject: Payout | Collection, kind: Contradiction.Kind, *, booked: str, said: str) -> None:
    """Notes it once for each subject, kind and pair of words, in the caller's transaction."""
    name = "payout" if isinstance(subject, Payout) else "collection"
    facts = {name: subject, "kind": kind, "booked": booked[:LONGEST], "said": said[:LONGEST]}
    _, is_new = Contradiction.objects.get_or_create(**facts, defaults={"provider": subject.provider})
    if is_new:
        words = {name: subject.pk, "kind": kind.value, "booked": booked, "said": said}
        log.error("payment_provider_contradicts", **words)
        transaction.on_commit(partial(metrics.record_contradiction, subject.provider, kind.value))
