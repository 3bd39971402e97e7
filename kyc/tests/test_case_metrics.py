"""Tests that committed changes are counted once, and that the snapshot matches the rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Count
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from kyc import cases, metrics
from kyc.cases.selectors import approvals_over, claims_lapsed, waiting
from kyc.errors import CaseOpen, NotInThisState
from kyc.models import Case, Check, State
from kyc.snapshot import queue, take_snapshot
from kyc.tasks import expire_approvals, lapse_claims
from kyc.tasks import take_snapshot as take_snapshot_task
from kyc.tests.people import (
    REFUSAL,
    approved,
    doubted,
    in_review,
    make_approver,
    make_person,
    make_reviewer,
    submission,
    submitted,
)
from observability.metrics import REGISTRY


def submissions() -> dict[str, float]:
    return {status: child._value.get() for status, child in metrics.kyc_submissions.items()}


def decided() -> dict[tuple[str, str], float]:
    counted = {labels: child._value.get() for labels, child in metrics.decisions.items()}
    return {labels: value for labels, value in counted.items() if value}


def grown(before: dict[Any, float], after: dict[Any, float]) -> dict[Any, float]:
    return {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}


@pytest.mark.django_db(transaction=True)
def test_submissions_are_counted_once_each_by_what_became_of_them() -> None:
    before = submissions()
    reviewer, person = make_reviewer(), make_person()
    case = submitted(person)
    with pytest.raises(CaseOpen):
        submitted(person)
    cases.withdraw(person=person, public_id=case.public_id)
    submitted(person)
    cases.claim(case_id=case.pk, reviewer=reviewer)
    cases.reject(case_id=case.pk, reviewer=reviewer, **REFUSAL)
    cases.resubmit(person=person, public_id=case.public_id, images={})
    with pytest.raises(NotInThisState):
        cases.resubmit(person=person, public_id=case.public_id, images={})
    assert grown(before, submissions()) == {"submitted": 1, "resubmitted": 2, "refused": 2}


@pytest.mark.django_db(transaction=True)
def test_decisions_are_counted_by_whose_they_were() -> None:
    before = decided()
    reviewer, approver, person = make_reviewer(), make_approver(), make_person()
    case = in_review(reviewer, person)
    cases.ask_for_more(case_id=case.pk, reviewer=reviewer, **REFUSAL)
    submitted(person, images={})
    cases.claim(case_id=case.pk, reviewer=reviewer)
    cases.approve(case_id=case.pk, reviewer=reviewer)
    newer = in_review(reviewer, person)
    cases.approve(case_id=newer.pk, reviewer=reviewer)
    cases.revoke(case_id=newer.pk, actor=approver, **REFUSAL)
    by_machine = submitted()
    Case.objects.filter(pk=by_machine.pk).update(provider="smile_id")
    machine = {"provider": "smile_id", "reason": "x"}
    cases.decide_by_provider(case_id=by_machine.pk, approved=True, **machine)
    cases.revoke_by_provider(case_id=by_machine.pk, **machine)
    assert grown(before, decided()) == {
        ("asked_for_more", "manual"): 1,
        ("approved", "manual"): 2,
        ("expired", "manual"): 1,
        ("revoked", "manual"): 1,
        ("approved", "smile_id"): 1,
        ("revoked", "smile_id"): 1,
    }


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_not_counted() -> None:
    reviewer, person = make_reviewer(), make_person()
    case = in_review(reviewer)
    before = submissions(), decided()
    with transaction.atomic():
        cases.submit(person=person, **submission())
        cases.approve(case_id=case.pk, reviewer=reviewer)
        transaction.set_rollback(True)
    assert (submissions(), decided()) == before
    assert list(Case.objects.values_list("state")) == [(State.IN_REVIEW,)]


def sample(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None
    return value


@pytest.mark.django_db
def test_the_snapshot_shows_how_many_wait_and_how_long() -> None:
    now = timezone.now()
    old, young, claimed = submitted(), submitted(), in_review(make_reviewer())
    Case.objects.filter(pk=old.pk).update(submitted_at=now - timedelta(hours=30))
    Case.objects.filter(pk=young.pk).update(submitted_at=now - timedelta(hours=1))
    Case.objects.filter(pk=claimed.pk).update(submitted_at=now - timedelta(hours=2))
    Check.objects.create(case=old, provider="smile_id", reference="r", created_at=now - timedelta(minutes=10))
    doubted(make_reviewer())
    approved(make_reviewer())
    with CaptureQueriesContext(connection) as queries:
        take_snapshot()
    assert len(queries) == 3
    assert sample("amani_kyc_doubted_approvals") == 1
    assert sample("amani_kyc_queue", state="submitted") == 2
    assert sample("amani_kyc_queue", state="in_review") == 1
    assert sample("amani_kyc_oldest_seconds", state="submitted") == pytest.approx(30 * 3600, abs=60)
    assert sample("amani_kyc_oldest_seconds", state="in_review") == pytest.approx(2 * 3600, abs=60)
    assert sample("amani_kyc_checks_oldest_seconds", provider="smile_id") == pytest.approx(600, abs=60)
    assert sample("amani_kyc_snapshot_timestamp_seconds") >= now.timestamp()


@pytest.mark.django_db
def test_the_snapshot_of_nothing_is_zero() -> None:
    submitted()
    take_snapshot_task()
    Case.objects.all().update(state=State.DRAFT)
    take_snapshot_task()
    assert sample("amani_kyc_queue", state="submitted") == 0
    assert sample("amani_kyc_oldest_seconds", state="submitted") == 0
    assert sample("amani_kyc_checks_oldest_seconds", provider="smile_id") == 0


@pytest.mark.django_db
def test_the_snapshot_says_what_the_rule_compares_with(settings: Settings) -> None:
    settings.KYC_REVIEW_TARGET_HOURS = 6
    take_snapshot()
    assert sample("amani_kyc_review_target_seconds") == 6 * 3600


@pytest.mark.django_db
def test_tasks_sweep_and_may_run_twice() -> None:
    reviewer = make_reviewer()
    claimed, approved = in_review(reviewer), in_review(reviewer)
    cases.approve(case_id=approved.pk, reviewer=reviewer)
    Case.objects.filter(pk=claimed.pk).update(claimed_until=timezone.now())
    Case.objects.filter(pk=approved.pk).update(expires_at=timezone.now())
    for _ in range(2):
        lapse_claims()
        expire_approvals()
    claimed.refresh_from_db()
    approved.refresh_from_db()
    assert (claimed.state, claimed.version) == (State.SUBMITTED, 3)
    assert (approved.state, approved.version) == (State.EXPIRED, 4)


PEOPLE = """
INSERT INTO accounts_user (password, is_superuser, email, full_name, is_staff, is_active, date_joined)
SELECT '!', false, 'history-' || n || '@example.com', '', false, true, now() FROM generate_series(1, 3000) n
"""
HISTORY = """
INSERT INTO kyc_case (public_id, person_id, document_type, country, number_encrypted, number_hash,
    number_last, state, version, provider, created_at, submitted_at, reason_code, reason, expires_at)
SELECT gen_random_uuid(), person.id, 'passport', 'NG', '', '', '', state, 1, 'manual', now(), now(), 'other',
    '', now() + interval '1 year'
FROM accounts_user person, (VALUES ('rejected'), ('expired'), ('revoked'), ('approved')) states (state)
WHERE person.email LIKE 'history-%'
"""


def insert_history() -> None:
    """Ended and standing cases in plain SQL: what the queue and the sweeps must not read."""
    with connection.cursor() as cursor:
        for statement in (PEOPLE, HISTORY, "ANALYZE kyc_case"):
            cursor.execute(statement)


@pytest.mark.django_db
def test_a_long_history_costs_the_queue_and_the_sweeps_nothing() -> None:
    submitted()
    insert_history()
    now = timezone.now()
    asked = {
        "case_queue_oldest_first": waiting()[:50],
        "case_claim_to_lapse": claims_lapsed(now),
        "case_to_expire": approvals_over(now),
        "case_by_number": Case.objects.filter(number_hash="4" * 64),
    }
    plans = {index: rows.explain() for index, rows in asked.items()}
    assert {index: plan for index, plan in plans.items() if index not in plan} == {}
    counted = waiting().order_by().values_list("state").annotate(count=Count("pk"))
    assert "case_queue_oldest_first" in counted.explain()
    assert queue()["submitted"][0] == 1
