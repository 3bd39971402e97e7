"""Sessions that ended are forgotten, and with them where their people were.

Every sign-up and sign-in begins a session, whether or not it is finished: without this they would pile up.
"""

from __future__ import annotations

from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.utils import timezone

AT_MOST = 10_000  # of each table in one go, so that no statement is long
JUST_BEGUN = timedelta(hours=1)  # a new session's two rows are not written in one moment


def forget_ended() -> int:
    """Deletes what is over, and says how many rows that were."""
    expired = Session.objects.filter(expire_date__lt=timezone.now())
    living = Session.objects.filter(session_key=OuterRef("session_key"))
    settled = UserSession.objects.filter(created_at__lt=timezone.now() - JUST_BEGUN)
    return delete_some(expired) + delete_some(settled.filter(~Exists(living)))


def delete_some(rows: QuerySet[Model]) -> int:
    keys = list(rows.values_list("pk", flat=True)[:AT_MOST])
    deleted, _ = rows.model._default_manager.filter(pk__in=keys).delete()  # noqa: SLF001  (Django's own way)
    return deleted
