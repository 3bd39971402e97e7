"""Plans and cancels checks: rows that are stored before a request is sent to a provider."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.utils import timezone

from core.doorbell import Doorbell
from kyc.models import Case, Check
from kyc.providers import registry

doorbell = Doorbell("kyc.tasks.run_checks")  # a lost ring costs ten seconds, until beat's next sweep

RUNNING = (Check.State.PENDING, Check.State.SENT)


def plan_check(*, case: Case) -> None:
    """Plans a check in the caller's transaction, which has locked the case; none for the manual provider."""
    if not registry.get(case.provider).is_asked:
        return
    cancel_checks(case=case)
    Check.objects.create(case=case, provider=case.provider, reference=new_reference())
    transaction.on_commit(doorbell.ring)


def cancel_checks(*, case: Case) -> None:
    """Cancels the running checks of the case; their later results do not change it."""
    Check.objects.filter(case_id=case.pk, state__in=RUNNING).update(
        state=Check.State.CANCELLED, next_attempt_at=None, finished_at=timezone.now()
    )


def new_reference() -> str:
    """Returns a random id for the job, which an attacker cannot guess for a forged callback."""
    return uuid.uuid4().hex
