"""Previews as leased work: an operator asks, the worker computes, the page shows how far it is."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from core.doorbell import Doorbell
from core.leases import Claim, claim_next, claims_within
from observability.models import AlertRule, RulePreview
from observability.rules.preview.asking import question_of
from observability.rules.preview.compute import compute
from observability.rules.preview.errors import CannotPreview
from observability.rules.quality import alerts_of

DAYS = (1, 7, 30)
# Longer than the computation can take; a task ends after 110 seconds.
LEASE = timedelta(seconds=120)
# Children of the worker are needed for alerts, and Prometheus for rules.
MOST_AT_ONCE = 1
RUN_SECONDS = 20.0  # after that a task takes no further preview
MOST_ATTEMPTS = 2
KEPT = timedelta(days=7)
MOST_LOOKED_AT = 20  # previews of a rule, for the one that suggests a threshold
ENDED_EARLY = "The worker ended while it computed this, twice. Ask for fewer days."
REPLACED = "You asked for another preview before this one was finished."

doorbell = Doorbell("observability.tasks.compute_previews")
waiting = RulePreview.objects.filter(finished_at=None)


class Replaced(Exception):
    """The operator has asked for another preview, or another worker has this one."""


@transaction.atomic
def ask_for(
    *,
    rule: AlertRule,
    actor: AbstractBaseUser,
    days: int,
    threshold: float | None,
    for_seconds: float,
    keep_firing_for_seconds: float,
) -> RulePreview:
    """Stores what to compute and has the worker begin. An unfinished preview of the operator ends."""
    waiting.filter(asked_by_id=actor.pk).update(**finished(RulePreview.State.FAILED, last_error=REPLACED))
    preview = RulePreview.objects.create(
        rule=rule,
        asked_by_id=actor.pk,
        days=days,
        threshold=threshold,
        for_seconds=for_seconds,
        keep_firing_for_seconds=keep_firing_for_seconds,
    )
    transaction.on_commit(doorbell.ring)
    return preview


def finished(state: RulePreview.State, **more: object) -> dict[str, object]:
    return {"state": state, "finished_at": timezone.now(), "lease_until": None, **more}


def run_due() -> None:
    """Computes what waits, one after another, and deletes what is older than a week."""
    RulePreview.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    for claimed in claims_within(RUN_SECONDS, claim):
        run(claimed)


def claim() -> Claim[RulePreview] | None:
    now = timezone.now()
    due = waiting.filter(next_attempt_at__lte=now).order_by("next_attempt_at", "id")
    return claim_next(due, among=waiting.all(), lease=LEASE, most_at_once=MOST_AT_ONCE)


def run(claimed: Claim[RulePreview]) -> None:
    """Computes one preview and stores its result, or why there is none."""
    if claimed.number > MOST_ATTEMPTS:
        record(claimed, RulePreview.State.FAILED, last_error=ENDED_EARLY)
        return
    try:
        rule = AlertRule.objects.select_related("group").get(pk=claimed.row.rule_id)
        question = question_of(claimed.row, rule)
        result = compute(question, alerts_of(rule), partial(report, claimed))
        record(claimed, RulePreview.State.DONE, result=result, percent=100)
    except CannotPreview as problem:
        record(claimed, RulePreview.State.FAILED, last_error=str(problem))
    except Replaced:
        return


def report(claimed: Claim[RulePreview], done: float) -> None:
    """Stores how much is done. Raises Replaced when the result is no longer wanted."""
    if not claimed.rows().filter(finished_at=None).update(percent=int(done * 100)):
        raise Replaced


def record(claimed: Claim[RulePreview], state: RulePreview.State, **more: object) -> None:
    claimed.rows().filter(finished_at=None).update(**finished(state, **more))


def newest_suggestion(rule: AlertRule) -> RulePreview | None:
    """Returns the newest preview of the rule that suggests a threshold, among its newest few."""
    newest = RulePreview.objects.filter(rule=rule).order_by("-id").values_list("id", flat=True)
    # A list: beside a subquery the planner may look into the result of every preview of every rule.
    few = list(newest[:MOST_LOOKED_AT])
    suggesting = RulePreview.objects.filter(pk__in=few, result__suggestion__threshold__isnull=False)
    return suggesting.exclude(result__suggestion__threshold=None).order_by("-id").first()
