import json
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import User
from kyc.demo.seed import Team, seed_cases
from kyc.models import Case, CaseEvent, Check, Document, DocumentAccess, LimitRule, NumberAccess

pytestmark = pytest.mark.django_db
PASSWORD = "a password of mine"
OPERATORS = {
    "demo@amani.local": "responder",
    "viewer-demo@amani.local": "viewer",
    "kyc-demo@amani.local": "kyc reviewer",
    "finance-demo@amani.local": "finance",
    "approver-demo@amani.local": "approver",
}


@pytest.fixture(autouse=True)
def in_development(settings: Any) -> None:
    settings.DEBUG = True
    in_memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "kyc": in_memory}


def counts() -> dict[str, int]:
    names = ("Episode", "EpisodeEvent", "Delivery", "Attempt", "Receipt")
    models = [apps.get_model("observability", name) for name in names]
    models += [Case, CaseEvent, Document, DocumentAccess, NumberAccess, Check, LimitRule, User]
    return {model.__name__: model.objects.count() for model in models}


def seed(**options: Any) -> str:
    output = StringIO()
    call_command("seed_demo", stdout=output, **options)
    return output.getvalue()


def test_demo_exists_in_development_only(settings: Any) -> None:
    settings.DEBUG = False
    before = counts()
    with pytest.raises(CommandError, match="DEBUG is off"):
        seed(password=PASSWORD)
    nobody = User.objects.create_user("nobody@example.com")
    with pytest.raises(RuntimeError, match="in development only"):
        seed_cases(Team(reviewer=nobody, approver=nobody))
    assert counts() == {**before, "User": before["User"] + 1}


def test_demo_is_made_once_and_its_alerts_are_never_sent() -> None:
    assert seed(password=PASSWORD) == ""
    made = counts()
    assert (made["Episode"], made["Case"]) == (17, 21)
    seed(password=PASSWORD)
    assert counts() == made
    operators = User.objects.filter(is_staff=True)
    assert {user.email: user.groups.get().name for user in operators} == OPERATORS
    assert not User.objects.filter(is_superuser=True).exists()
    delivery = apps.get_model("observability", "Delivery")
    assert not delivery.objects.filter(state__in=delivery.UNFINISHED).exists()
    assert not delivery.objects.filter(finished_at=None).exists()


@pytest.fixture
def without_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amani.demo.seed_cases", lambda team: None)


def test_demo_operators_have_the_given_password(client: Client, without_cases: None) -> None:
    seed(password=PASSWORD)
    assert client.login(username="demo@amani.local", password=PASSWORD)
    assert len(set(User.objects.values_list("password", flat=True))) == 1
    seed(password="another password")
    assert client.login(username="approver-demo@amani.local", password="another password")
    assert len(set(User.objects.values_list("password", flat=True))) == 1
    assert set(User.objects.values_list("email", flat=True)) == set(OPERATORS)


def test_demo_password_is_made_and_printed_when_none_is_given(client: Client, without_cases: None) -> None:
    email, password = seed(email="me@amani.local").split()
    assert (email, client.login(username=email, password=password)) == ("me@amani.local", True)
    assert seed(email="me@amani.local") == ""
    assert client.login(username="kyc-me@amani.local", password=password)


def test_demo_password_is_reported_to_programs_too(client: Client, without_cases: None) -> None:
    printed = json.loads(seed(json=True))
    assert client.login(username=printed["email"], password=printed["new_password"])
    assert json.loads(seed(json=True)) == {"email": "demo@amani.local", "new_password": ""}
