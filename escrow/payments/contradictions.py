"""Notes what a provider says against what Amani has booked: a row, a metric and a log line; nothing moves.

A person looks at each, and an approver closes it with a reason. Until then it is open: the snapshot counts
it, and an alert fires. The same words said again about the same payment do not open it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

import structlog
from django.db import transaction
from django.db.models import Count, Min
from django.utils import timezone

from accounts.models import User
from escrow import metrics
from escrow.models.payments import Collection, Contradiction, Payout
from escrow.payments.errors import (
    ClosingNeedsReason,
    ContradictionClosed,
    MayNotClose,
    OwnPayment,
)
from escrow.roles import CLOSE_CONTRADICTION

Kind = Contradiction.Kind
LONGEST = 100
LONGEST_REASON = 2_000

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


@transaction.atomic
def close(*, contradiction_id: int, actor: User, reason: str) -> Contradiction:
    """Records that an approver has dealt with it, and why; it stays, and no money moves.

    Returns it. Raises MayNotClose, ClosingNeedsReason, ContradictionClosed, or OwnPayment when the money is
    the actor's.
    """
    if not actor.has_perm(CLOSE_CONTRADICTION):
        raise MayNotClose
    if not reason.strip():
        raise ClosingNeedsReason
    found = Contradiction.objects.select_for_update(no_key=True).get(pk=contradiction_id)
    if actor.pk in people_of(found):
        raise OwnPayment
    if found.closed_at is not None:
        raise ContradictionClosed
    found.closed_at, found.closed_by = timezone.now(), actor
    found.closed_because = reason.strip()[:LONGEST_REASON]
    found.save(update_fields=["closed_at", "closed_by", "closed_because"])
    log.warning("contradiction_closed", contradiction=found.pk, actor=actor.pk)
    return found


def people_of(contradiction: Contradiction) -> set[int | None]:
    """Returns the ids of those whose money it is about: a payout's user, or buyer and seller."""
    if contradiction.payout is not None:
        return {contradiction.payout.user_id}
    if contradiction.collection is None:
        return set()
    escrow = contradiction.collection.escrow
    return {contradiction.collection.payer_id, escrow.buyer_id, escrow.seller_id}


def open_ones() -> Mapping[tuple[str, str], tuple[int, datetime]]:
    """Returns (provider, kind) → (how many are open, when the oldest was noted); reads an index alone."""
    rows = Contradiction.objects.filter(closed_at__isnull=True).order_by().values_list("provider", "kind")
    found = rows.annotate(count=Count("*"), oldest=Min("at"))
    return {(provider, kind): (count, oldest) for provider, kind, count, oldest in found}
