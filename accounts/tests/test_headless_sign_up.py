"""Tests sign-up in both clients: stored data, metrics, and that it does not reveal accounts."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import Any

import pytest
from allauth.account import forms
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from django.db import IntegrityError, connection

from accounts.models import User
from accounts.sign_up import SignUpInput
from accounts.tests.devices import DEVICES, EMAIL, PASSWORD, App, code_in_mail, make_person
from observability.tests.samples import Change
from observability.tests.waiting import ANSWER_SECONDS

pytestmark = pytest.mark.django_db

REGISTERED = "user_registrations_total"


@pytest.mark.parametrize("device", DEVICES)
def test_sign_up_and_verified_address_sign_the_user_in(device: type[App]) -> None:
    ada = device()
    answer = ada.sign_up("Ada@Example.com")
    assert (answer.status, answer.pending, ada.me()) == (401, ["verify_email"], 401)
    assert mail.outbox[0].to == [EMAIL]

    assert ada.post("auth/email/verify", key=code_in_mail()).status == 200
    assert ada.me() == 200
    assert ada.get("auth/session").json["data"]["user"]["email"] == EMAIL
    address = EmailAddress.objects.get()
    assert (address.email, address.verified, address.primary) == (EMAIL, True, True)
    assert User.objects.get().check_password(PASSWORD)


def test_a_browser_without_the_csrf_token_is_refused() -> None:
    response = App().client.post("/_allauth/browser/v1/auth/signup", {}, content_type="application/json")
    assert response.status_code == 403
    assert not User.objects.exists()


def test_the_profile_may_come_with_the_sign_up() -> None:
    App().sign_up(full_name="Ada  Obi", country="ng", phone_number="08031234567")
    user = User.objects.get()
    assert (user.full_name, user.country, user.phone_number) == ("Ada Obi", "NG", "+2348031234567")


BAD_INPUT: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"email": ""}, ("required", "email")),
    ({"email": "nobody"}, ("invalid", "email")),
    ({"email": "ad\u00e1@example.com"}, ("invalid", "email")),
    ({"email": "ada@ex\u0430mple.com"}, ("invalid", "email")),  # a Cyrillic letter
    ({"email": ["ada@example.com"]}, ("invalid", "email")),
    ({"email": "a" * 64 + "@" + "b" * 63 + "." + ("c" * 60 + ".") * 3 + "com"}, ("max_length", "email")),
    ({"password": ""}, ("required", "password")),
    ({"password": "12345678"}, ("password_too_common", "password")),
    ({"password": "short"}, ("password_too_short", "password")),
    ({"country": "ZZ"}, ("invalid", "country")),
    ({"full_name": "Ada\u202eObi"}, ("invalid", "full_name")),
    ({"phone_number": "123"}, ("invalid", "phone_number")),
]


@pytest.mark.parametrize(("field", "error"), BAD_INPUT)
def test_bad_input_is_refused_and_leaves_nothing(field: dict[str, Any], error: tuple[str, str]) -> None:
    answer = App().post("auth/signup", **{"email": EMAIL, "password": PASSWORD, **field})
    assert answer.status == 400
    assert error in answer.errors
    assert not User.objects.exists()
    assert mail.outbox == []


def test_the_password_may_not_be_the_address() -> None:
    answer = App().sign_up(EMAIL, EMAIL)
    assert answer.errors == [("password_too_similar", "password")]
    assert not User.objects.exists()


def test_the_password_may_not_be_the_name() -> None:
    answer = App().sign_up(EMAIL, "chidinmaokonkwo", full_name="Chidinma Okonkwo")
    assert answer.errors == [("password_too_similar", "password")]
    assert not User.objects.exists()


UNREADABLE = [
    *(
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'"a"',
        b"1",
        b"[" * 60_000,
        *(b"[" * n + b"]" * n for n in (33, 500, 700, 900)),
        b"a=b",
    ),
    *(b'{"email": "ada@example.com", "password": "long enough \\ud800"}', b'{"\\ud800": 1}'),
    *(b'{"email": "ada\\u0000@example.com", "password": "long enough"}', b'{"x": [{"y": "\\u0000"}]}'),
]


@pytest.mark.parametrize("route", ["auth/signup", "auth/login", "auth/password/request"])
@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_body_that_is_no_object_of_texts_is_refused(route: str, body: bytes) -> None:
    client = App().client
    response = client.generic("POST", App.base + route, body, "application/json")
    assert response.status_code == 400
    assert not User.objects.exists()
    assert mail.outbox == []


@pytest.mark.parametrize("device", DEVICES)
def test_strangers_cannot_tell_a_taken_address_from_a_free_one(device: type[App]) -> None:
    make_person()
    of_free, of_taken = device().sign_up("free@example.com"), device().sign_up()
    for answer in (of_free, of_taken):
        answer.json["meta"].pop("session_token", None)
    assert of_free.status == of_taken.status
    assert of_free.json == of_taken.json
    assert [(mail_.to, mail_.subject) for mail_ in mail.outbox] == [
        (["free@example.com"], "Your code for Amani"),
        ([EMAIL], "You already have an account"),
    ]
    assert "/password/reset" in mail.outbox[1].body


def test_an_account_is_counted_when_it_is_committed_and_once(
    django_capture_on_commit_callbacks: Any,
) -> None:
    counted, ada = Change(REGISTERED), App()
    with django_capture_on_commit_callbacks(execute=True):
        ada.sign_up()
        assert counted() == 0
    assert counted() == 1
    cache.clear()  # of the pause between two mails
    with django_capture_on_commit_callbacks(execute=True):
        ada.post("auth/email/verify", key=code_in_mail())
        App().sign_up()
        App().sign_up("other@example.com", "short")
    assert counted() == 1


def test_accounts_created_by_superusers_are_not_counted(
    django_capture_on_commit_callbacks: Any, client: Any
) -> None:
    counted = Change(REGISTERED)
    with django_capture_on_commit_callbacks(execute=True):
        client.force_login(User.objects.create_superuser("root@example.com", PASSWORD))
        make_person()
        fields = {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD}
        client.post("/admin/accounts/user/add/", {**fields, "usable_password": "true"})
    assert counted() == 0


@pytest.mark.django_db(transaction=True)
def test_a_sign_up_that_breaks_halfway_leaves_and_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise IntegrityError("the address could not be stored")

    monkeypatch.setattr(forms, "setup_user_email", fail)
    counted = Change(REGISTERED)
    assert (
        App().request("POST", App.base + "auth/signup", {"email": EMAIL, "password": PASSWORD}).status_code
        == 500
    )
    assert not User.objects.exists()
    assert counted() == 0
    assert mail.outbox == []


@pytest.mark.django_db(transaction=True)
def test_two_sign_ups_at_once_with_one_address_make_one_account(monkeypatch: pytest.MonkeyPatch) -> None:
    both_found_it_free = Barrier(2, timeout=ANSWER_SECONDS)
    register = SignUpInput.register

    def register_together(form: SignUpInput, request: Any) -> User:
        both_found_it_free.wait()
        return register(form, request)

    monkeypatch.setattr(SignUpInput, "register", register_together)
    counted = Change(REGISTERED)
    statuses: list[int] = []

    def sign_up() -> None:
        statuses.append(App().sign_up().status)
        connection.close()

    threads = [Thread(target=sign_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # 429: another mail went to this address a moment ago.
    assert statuses.count(401) >= 1
    assert set(statuses) <= {401, 429}
    assert (User.objects.count(), EmailAddress.objects.count(), counted()) == (1, 1, 1)


def test_a_wrong_code_three_times_and_the_right_one_is_worth_nothing() -> None:
    ada = App()
    ada.sign_up()
    for _ in range(3):
        assert ada.post("auth/email/verify", key="BBBB-BBBB").errors == [("incorrect_code", "key")]
    assert ada.post("auth/email/verify", key=code_in_mail()).status == 409
    assert ada.me() == 401
    assert not EmailAddress.objects.get().verified


def test_another_code_can_be_asked_for_and_the_first_is_worth_nothing_then() -> None:
    ada = App()
    ada.sign_up()
    assert ada.post("auth/email/verify/resend").status == 429  # ten seconds between two
    cache.clear()
    assert ada.post("auth/email/verify/resend").status == 200
    assert ada.post("auth/email/verify", key=code_in_mail(0)).status == 400
    assert ada.post("auth/email/verify", key=code_in_mail(1)).status == 200
    assert ada.me() == 200


def test_sign_in_with_an_unverified_address_sends_a_new_code() -> None:
    App().sign_up()
    cache.clear()
    ada = App()
    answer = ada.sign_in()
    assert (answer.status, answer.pending, ada.me()) == (401, ["verify_email"], 401)
    assert ada.post("auth/email/verify", key=code_in_mail(1)).status == 200
    assert ada.me() == 200


def test_address_verified_on_another_device_allows_sign_in_on_the_first() -> None:
    telephone, laptop = App(), App()
    telephone.sign_up()
    cache.clear()
    laptop.sign_in()
    assert laptop.post("auth/email/verify", key=code_in_mail(1)).status == 200
    assert telephone.post("auth/email/verify", key=code_in_mail(0)).status == 409
    assert (telephone.get("auth/session").pending, telephone.me()) == ([], 401)
    assert telephone.sign_in().status == 200


def test_operators_pages_offer_no_sign_up() -> None:
    for path in ("/accounts/signup/", "/accounts/login/"):
        App().client.post(path, {"email": EMAIL, "password1": PASSWORD})
    assert not User.objects.exists()
