"""Tests that a password is accepted in every Unicode form, in all places."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import MD5PasswordHasher, check_password, make_password
from django.core.management import call_command
from django.test import Client

from accounts.models import User
from accounts.tests.devices import DEVICES, EMAIL, App, code_in_mail, make_person

pytestmark = pytest.mark.django_db

COMPOSED = unicodedata.normalize("NFC", "crème-brûlée-77")
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
FULL_WIDTH = "\uff43\uff52" + COMPOSED[2:]
SPELLINGS = {"composed": COMPOSED, "decomposed": DECOMPOSED, "full width": FULL_WIDTH}


@pytest.fixture(params=SPELLINGS)
def typed(request: pytest.FixtureRequest) -> str:
    return SPELLINGS[request.param]


@pytest.mark.parametrize("given", SPELLINGS)
@pytest.mark.parametrize("device", DEVICES)
def test_password_typed_in_another_spelling_signs_in(device: type[App], given: str, typed: str) -> None:
    assert device().sign_up(password=SPELLINGS[given]).status == 401  # until the address is confirmed
    EmailAddress.objects.update(verified=True)
    assert device().sign_in(password=typed + "x").status == 400
    assert device().sign_in(password=typed).status == 200


def test_the_console_takes_any_spelling(typed: str) -> None:
    make_person(password=DECOMPOSED, is_staff=True)
    answer = Client().post("/accounts/login/", {"login": EMAIL, "password": typed})
    assert answer.status_code == 302


def test_a_password_is_changed_with_any_spelling_of_the_old_one(typed: str) -> None:
    make_person(password=COMPOSED)
    phone = App()
    phone.sign_in(password=COMPOSED)
    changed = phone.post(
        "account/password/change", current_password=typed, new_password="naïve " + FULL_WIDTH
    )
    assert changed.status == 200
    assert App().sign_in(password=unicodedata.normalize("NFKD", "naïve " + COMPOSED)).status == 200


def test_a_new_password_by_code_counts_in_any_spelling(typed: str) -> None:
    make_person(password="another one")
    phone = App()
    phone.post("auth/password/request", email=EMAIL)
    assert phone.post("auth/password/reset", key=code_in_mail(), password=DECOMPOSED).status == 401
    assert App().sign_in(password=typed).status == 200


def test_createsuperuser_takes_any_spelling(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", DECOMPOSED)
    call_command("createsuperuser", interactive=False, email=EMAIL, verbosity=0)
    assert User.objects.get(email=EMAIL).check_password(typed)


@pytest.mark.parametrize("stored", [DECOMPOSED, FULL_WIDTH])
def test_a_password_stored_as_it_was_typed_still_opens_and_is_stored_anew(stored: str) -> None:
    person = make_person()
    User.objects.filter(pk=person.pk).update(password=make_password(stored))
    assert App().sign_in(password=COMPOSED).status == 400
    phone = App()
    assert phone.sign_in(password=stored).status == 200
    assert phone.me() == 200
    person.refresh_from_db()
    assert check_password(COMPOSED, person.password)
    assert App().sign_in(password=COMPOSED).status == 200
    assert App().sign_in(password=stored).status == 200


def test_a_common_password_in_full_width_letters_is_refused() -> None:
    disguised = "".join(chr(ord(letter) + 0xFEE0) for letter in "password123")
    assert App().sign_up(password=disguised).errors == [("password_too_common", "password")]
    assert not User.objects.exists()


@pytest.mark.parametrize("password", ["wrong one", DECOMPOSED], ids=["ascii", "decomposed"])
def test_an_unknown_address_costs_as_much_as_a_wrong_password(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_person()
    hashed: list[str] = []
    real = MD5PasswordHasher.encode

    def encode(self: Any, password: str, salt: str) -> str:
        hashed.append(password)
        return str(real(self, password, salt))

    monkeypatch.setattr(MD5PasswordHasher, "encode", encode)
    assert App().sign_in(password=password).status == 400
    of_wrong = len(hashed)
    hashed.clear()
    assert App().sign_in("bob@example.com", password).status == 400
    assert len(hashed) == of_wrong > 0
