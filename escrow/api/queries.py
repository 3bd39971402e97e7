"""Lists of escrows and milestones by keyset. Another person's rows do not exist for the asker."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from accounts.models import User
from core.api.cursors import WrongCursor
from escrow.escrows.selectors import escrows_of
from escrow.models import Escrow, Milestone

Row = TypeVar("Row", bound=Model)


def after(rows: QuerySet[Row], last: UUID | None) -> QuerySet[Row]:
    """Selects what follows the row with that public id, newest first. Raises WrongCursor if there is none."""
    newest_first = rows.order_by("-pk")
    if last is None:
        return newest_first
    position = rows.filter(public_id=last).values_list("pk", flat=True).first()
    if position is None:
        raise WrongCursor
    return newest_first.filter(pk__lt=position)


def escrows_page(
    user: User,
    *,
    last: UUID | None,
    limit: int,
    state: str | None = None,
    role: str | None = None,
    currency: str | None = None,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
) -> list[Escrow]:
    """Returns at most `limit` of the user's escrows with terms and milestones, by the given filters."""
    mine = escrows_of(user)
    wanted = Q()
    if state is not None:
        wanted &= Q(state=state)
    if role is not None:
        wanted &= Q(**{f"{role}_id": user.pk})
    if currency is not None:
        wanted &= Q(currency=currency)
    if created_from is not None:
        wanted &= Q(created_at__gte=created_from)
    if created_to is not None:
        wanted &= Q(created_at__lt=created_to)
    return list(after(mine, last).filter(wanted).prefetch_related("milestones")[:limit])


def milestones_page(
    user: User, *, last: UUID | None, limit: int, state: str | None = None, escrow_id: UUID | None = None
) -> list[Milestone]:
    """Returns at most `limit` of the user's milestones with their escrows."""
    mine = Q(escrow__buyer_id=user.pk) | Q(escrow__seller_id=user.pk)
    wanted = Q()
    if state is not None:
        wanted &= Q(state=state)
    if escrow_id is not None:
        wanted &= Q(escrow__public_id=escrow_id)
    rows = Milestone.objects.filter(mine).select_related("escrow__terms")
    return list(after(rows, last).filter(wanted)[:limit])
