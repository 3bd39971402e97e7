"""What is to be asked of a provider is a row before anything is sent."""

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
    """In the caller's transaction, which has locked the case. The manual provider is asked nothing."""
    if not registry.get(case.provider).is_asked:
        return
    cancel_checks(case=case)
    Check.objects.create(case=case, provider=case.provider, reference=new_reference())
    transaction.on_commit(doorbell.ring)


def cancel_checks(*, case: Case) -> None:
    """Nobody waits for their results any more. What the provider says of them later changes no case."""
    Check.objects.filter(case_id=case.pk, state__in=RUNNING).update(
        state=Check.State.CANCELLED, next_attempt_at=None, finished_at=timezone.now()
    )


def new_reference() -> str:
    """Names the job at the provider. It is random, so a forged callback can't guess one."""
    return uuid.uuid4().hex
