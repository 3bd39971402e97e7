"""Tests the demo, which is seeded once; changes of each test are rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.db import DatabaseError, transaction
from django.test import override_settings
from django.utils import timezone

from accounts.models import User
from kyc import documents
from kyc.cases.selectors import number_of, same_number, waiting
from kyc.cases.states import TRANSITIONS, Event
from kyc.demo import Team, seed_cases
from kyc.limits import limits_of
from kyc.models import Case, CaseEvent, Check, DocumentAccess, LimitKind, State
from kyc.tiers import tier_of

pytestmark = pytest.mark.django_db
IN_MEMORY = {"kyc": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}
PASSWORD = "a password of mine"


@pytest.fixture(scope="module", autouse=True)
def seeded(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """With the provider that would be asked about real people."""
    demo = override_settings(DEBUG=True, KYC_PROVIDER="smile_id", STORAGES=IN_MEMORY)
    with demo, django_db_blocker.unblock(), transaction.atomic():
        seed_cases(Team(reviewer=operator("kyc reviewer"), approver=operator("approver")))
        with django_db_blocker.block():
            yield
        transaction.set_rollback(True)


def operator(role: str) -> User:
    user = User.objects.create_user(f"{role.replace(' ', '-')}@demo.example", is_staff=True)
    User.objects.filter(pk=user.pk).update(password=make_password(PASSWORD))
    user.groups.add(Group.objects.get(name=role))
    return User.objects.get(pk=user.pk)


def person(name: str) -> User:
    return User.objects.get(full_name=name)


def test_there_is_a_demo_case_in_every_state() -> None:
    assert set(Case.objects.values_list("state", flat=True)) == set(State.values)
    now, target = timezone.now(), 24 * 3600
    ages = [(now - case.submitted_at).total_seconds() for case in waiting() if case.submitted_at]
    assert ages == sorted(ages, reverse=True)
    assert [age > target for age in ages].count(True) == 1
    flagged = [case.person.full_name for case in waiting() if same_number(case).exists()]
    assert flagged == ["Ifeanyi Uche"]


def test_every_step_of_a_demo_case_lies_in_the_past_in_its_order() -> None:
    for case in Case.objects.all():
        events = list(case.events.all())
        times = [case.created_at, *(event.at for event in events)]
        assert times == sorted(times)
        assert times[-1] < timezone.now()
        assert case.person.date_joined < times[0]
        steps = [TRANSITIONS.find(event.from_state, Event(event.event)) for event in events]
        assert [step and step.target for step in steps] == [event.to_state for event in events]
        assert events[-1].to_state == case.state
        assert case.version == len(events)


def test_the_database_protects_the_past_of_the_demo_as_well() -> None:
    for rows in (CaseEvent.objects.all(), DocumentAccess.objects.all()):
        with pytest.raises(DatabaseError, match="Cannot update or delete"), transaction.atomic():
            rows.update(request_id="changed")


def test_demo_documents_can_be_looked_at_and_every_look_at_them_is_written_down() -> None:
    case = Case.objects.get(person=person("Emeka Nwosu"))
    images = {document.side: documents.read(document) for document in case.documents.all()}
    assert {side: content[:3] for side, content in images.items()} == dict.fromkeys(
        ("front", "back", "selfie"), b"\xff\xd8\xff"
    )
    assert number_of(case) == "LSD41207AA12"
    looks = DocumentAccess.objects.filter(document__case=case)
    assert set(looks.values_list("actor__email", flat=True)) == {"kyc-reviewer@demo.example"}
    assert looks.count() == 3
    assert case.number_accesses.count() == 1


def test_demo_people_have_tiers_and_have_used_their_limits() -> None:
    names = ("Adaeze Okonkwo", "Tunde Bakare", "Zainab Sani", "Segun Adeyemi", "Amina Yusuf")
    assert [tier_of(person_id=person(name).pk) for name in names] == [2, 3, 1, 0, 0]
    left = {
        limit.kind: limit.remaining_minor
        for limit in limits_of(person_id=person("Adaeze Okonkwo").pk)
        if limit.currency == "NGN"
    }
    assert left[LimitKind.DAILY] == 12_500_00


def test_demo_people_sign_in_with_the_operators_password_and_a_verified_address() -> None:
    adaeze = person("Adaeze Okonkwo")
    assert adaeze.check_password(PASSWORD)
    assert EmailAddress.objects.filter(user=adaeze, verified=True, primary=True).count() == 1


def test_demo_verdicts_are_part_of_the_story_and_no_provider_is_asked() -> None:
    assert not Check.objects.filter(state__in=[Check.State.PENDING, Check.State.SENT]).exists()
    verdicts = (
        Check.objects.exclude(result="").order_by("pk").values_list("case__person__full_name", "result")
    )
    assert list(verdicts) == [
        ("Musa Danjuma", "rejected"),
        ("Zainab Sani", "approved"),
        ("Grace Wanjiru", "unclear"),
    ]
