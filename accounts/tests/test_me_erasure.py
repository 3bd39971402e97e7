"""Tests DELETE /api/v1/me: personal data is deleted, the anonymous row stays."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.test import Client

from accounts import erasure, export
from accounts.erasure import erase_account
from accounts.errors import CannotErase, OperatorsStay
from accounts.models import User

pytestmark = pytest.mark.django_db
ME = "/api/v1/me"
APP = "/_allauth/app/v1"
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def no_other_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the hooks of other apps, which are tested in those apps."""
    monkeypatch.setattr(erasure, "hooks_by_app", {})
    monkeypatch.setattr(export, "collectors", {})


@pytest.fixture
def person() -> User:
    person = User.objects.create_user(
        "ada@example.com", PASSWORD, full_name="Ada Obi", country="NG", phone_number="+2348031234567"
    )
    EmailAddress.objects.create(user=person, email=person.email, verified=True, primary=True)
    return person


def everything(person: User) -> list[Any]:
    owned = (EmailAddress, Authenticator, UserSession)
    return [
        User.objects.filter(pk=person.pk).values().get(),
        *(sorted(model.objects.filter(user=person).values_list("pk", flat=True)) for model in owned),
        sorted(Session.objects.values_list("pk", flat=True)),
    ]


class App:
    """Signs in and talks as an app does."""

    def __init__(self, person: User) -> None:
        self.client = Client()
        answer = self.post("auth/login", email=person.email, password=PASSWORD)
        self.token = answer.json()["meta"]["session_token"]

    def post(self, path: str, **body: Any) -> Any:
        headers = {"X-Session-Token": self.token} if hasattr(self, "token") else {}
        return self.client.post(f"{APP}/{path}", body, content_type="application/json", headers=headers)

    def confirm(self) -> None:
        answer = self.post("auth/reauthenticate", password=PASSWORD)
        assert answer.status_code == 200, answer.content
        self.token = answer.json()["meta"].get("session_token", self.token)

    def call(self, method: str, path: str = ME) -> Any:
        return self.client.generic(method, path, headers={"X-Session-Token": self.token})


def test_erasing_asks_for_the_password_again(person: User) -> None:
    app = App(person)
    before = everything(person)
    refused = app.call("DELETE")
    assert (refused.status_code, refused.json()["code"]) == (403, "reauthentication_required")
    assert everything(person) == before


def test_a_confirmation_does_not_last(person: User, monkeypatch: pytest.MonkeyPatch) -> None:
    app = App(person)
    app.confirm()
    now = time.time()
    monkeypatch.setattr("allauth.account.internal.flows.reauthentication.time.time", lambda: now + 3600)
    assert app.call("DELETE").status_code == 403
    person.refresh_from_db()
    assert person.erased_at is None


def test_a_person_is_erased(person: User, django_capture_on_commit_callbacks: Any) -> None:
    Authenticator.objects.create(user=person, type=Authenticator.Type.RECOVERY_CODES, data={})
    elsewhere, app = App(person), App(person)
    app.confirm()
    with django_capture_on_commit_callbacks(execute=True):
        erased = app.call("DELETE")
    assert (erased.status_code, erased.content) == (204, b"")
    row, *owned = everything(person)
    assert owned == [[], [], [], []]
    assert row["email"] == f"erased-{person.pk}@erased.invalid"
    assert (row["full_name"], row["phone_number"], row["country"]) == ("", "", "")
    assert (row["is_active"], row["last_login"]) == (False, None)
    assert row["erased_at"] is not None
    assert row["password"].startswith("!")
    assert "ada" not in str(row).lower()
    for session in (app, elsewhere):
        assert session.call("GET").status_code == 401


def test_the_address_is_free_again_and_the_old_password_opens_nothing(person: User) -> None:
    app = App(person)
    app.confirm()
    app.call("DELETE")
    refused = app.client.post(
        f"{APP}/auth/login",
        {"email": "ada@example.com", "password": PASSWORD},
        content_type="application/json",
    )
    assert refused.status_code == 400
    assert User.objects.create_user("ada@example.com", PASSWORD).pk != person.pk


def test_a_browser_is_signed_out_as_well(person: User) -> None:
    browser = Client(headers={"X-CSRFToken": "this client does not check it"})
    browser.force_login(person)
    session = browser.session
    record = {"method": "password", "at": time.time(), "reauthenticated": True}
    session["account_authentication_methods"] = [record]
    session["account_authentication_methods_user"] = str(person.pk)
    session.save()
    assert browser.delete(ME).status_code == 204
    assert browser.cookies["sessionid"].value == ""
    assert Session.objects.count() == 0


def test_the_log_of_the_admin_keeps_what_was_done_but_not_to_whom(person: User) -> None:
    root = User.objects.create_user("root@example.com", is_staff=True, is_superuser=True)
    other = User.objects.create_user("eve@example.com")
    LogEntry.objects.log_actions(root.pk, [person, other], CHANGE, "Changed Active.")
    group, _ = Group.objects.get_or_create(pk=person.pk, defaults={"name": "has the person's number"})
    LogEntry.objects.log_actions(root.pk, [group], CHANGE, "Changed Name.")
    erase_account(user_id=person.pk)
    assert list(LogEntry.objects.order_by("pk").values_list("object_repr", "change_message", "user_id")) == [
        (f"erased-{person.pk}@erased.invalid", "Changed Active.", root.pk),
        ("eve@example.com", "Changed Active.", root.pk),
        (group.name, "Changed Name.", root.pk),
    ]


def test_a_person_is_erased_once(person: User) -> None:
    erased: list[str] = []
    erasure.register(name="kyc", erase=lambda who: erased.append(who.email))
    first = erase_account(user_id=person.pk)
    assert erase_account(user_id=person.pk).erased_at == first.erased_at
    assert erased == ["ada@example.com"]


@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
def test_operators_stay(flag: str, person: User) -> None:
    setattr(person, flag, True)
    person.save()
    before = everything(person)
    with pytest.raises(OperatorsStay):
        erase_account(user_id=person.pk)
    assert everything(person) == before


def test_an_app_may_say_why_a_person_has_to_stay(person: User) -> None:
    erased: list[User] = []
    erasure.register(name="silent", refuse=lambda _: None, erase=erased.append)
    erasure.register(name="escrow", refuse=lambda _: "Money is held for you.")
    erasure.register(name="kyc", refuse=lambda _: "Your document is being checked.")
    app = App(person)
    app.confirm()
    before = everything(person)
    refused = app.call("DELETE")
    assert (refused.status_code, refused.json()["code"]) == (409, "cannot_erase")
    assert refused.json()["message"] == (
        "The account can't be erased now. Money is held for you. Your document is being checked."
    )
    assert (everything(person), erased) == (before, [])
    with pytest.raises(CannotErase) as caught:
        erase_account(user_id=person.pk)
    assert caught.value.reasons == ["Money is held for you.", "Your document is being checked."]


def test_every_app_erases_what_it_keeps_while_the_names_are_still_there(person: User) -> None:
    seen: list[str] = []
    erasure.register(name="kyc", erase=lambda who: seen.append(who.full_name))
    erasure.register(name="escrow", erase=lambda who: seen.append(who.email))
    erase_account(user_id=person.pk)
    assert seen == ["Ada Obi", "ada@example.com"]


def test_when_one_app_fails_nothing_is_erased(person: User) -> None:
    def fail(_: User) -> None:
        raise ZeroDivisionError

    erasure.register(name="first", erase=lambda who: EmailAddress.objects.filter(user=who).delete() and None)
    erasure.register(name="broken", erase=fail)
    before = everything(person)
    with pytest.raises(ZeroDivisionError):
        erase_account(user_id=person.pk)
    assert everything(person) == before


def test_an_export_has_all_that_is_known_and_no_secret(person: User) -> None:
    export.register(name="kyc", collect=lambda who: {"cases": [who.email]})
    Authenticator.objects.create(user=person, type=Authenticator.Type.TOTP, data={"secret": "SEKRIT"})
    other = User.objects.create_user("eve@example.com", PASSWORD)
    EmailAddress.objects.create(user=other, email=other.email, verified=True, primary=True)
    browser = Client()
    browser.force_login(person)
    key = browser.session.session_key
    UserSession.objects.create(user=person, ip="192.0.2.1", session_key=key, user_agent="Firefox")
    answer: Any = browser.get(f"{ME}/export")
    found = answer.json()
    assert answer["Content-Disposition"] == 'attachment; filename="amani-export.json"'
    assert (found["account"]["email"], found["account"]["full_name"]) == ("ada@example.com", "Ada Obi")
    assert found["email_addresses"] == [{"email": "ada@example.com", "verified": True, "primary": True}]
    assert [(one["type"], one["name"]) for one in found["authenticators"]] == [("totp", "TOTP Authenticator")]
    assert [(one["ip"], one["user_agent"]) for one in found["sessions"]] == [("192.0.2.1", "Firefox")]
    assert found["parts"] == {"kyc": {"cases": ["ada@example.com"]}}
    for secret in ("SEKRIT", str(key), person.password, "eve@"):
        assert secret not in answer.content.decode()


def test_a_code_for_a_new_password_is_worth_nothing_after_the_erasure(
    person: User, mailoutbox: list[Any]
) -> None:
    app = App(person)
    elsewhere = Client()
    asked = elsewhere.post(
        f"{APP}/auth/password/request", {"email": person.email}, content_type="application/json"
    )
    code = re.search(r"^[A-Z]{4}-[A-Z]{4}$", mailoutbox[-1].body, re.MULTILINE)
    assert code is not None
    app.confirm()
    assert app.call("DELETE").status_code == 204
    elsewhere.post(
        f"{APP}/auth/password/reset",
        {"key": code[0], "password": "staple battery horse"},
        content_type="application/json",
        headers={"X-Session-Token": asked.json()["meta"]["session_token"]},
    )
    assert not User.objects.get(pk=person.pk).has_usable_password()
