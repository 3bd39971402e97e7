"""Tests second factors in both clients: enrolment, sign-in, recovery, and refusals."""

from __future__ import annotations

import time
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail
from django.core.cache import cache

from accounts.models import User
from accounts.tests.devices import DEVICES, EMAIL, PASSWORD, App, code_in_mail, make_person
from accounts.tests.soft_key import SoftKey
from observability.tests.samples import Change

pytestmark = pytest.mark.django_db

WRONG_CODE = [("incorrect_code", "code")]
WRONG_KEY = [("incorrect_code", "credential")]


@pytest.fixture(autouse=True)
def ada(settings: Any) -> User:
    settings.MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = False  # as in production
    return make_person()


def totp(secret: str, steps: int = 0) -> str:
    """What the authenticator app shows now, or some steps of 30 seconds away."""
    code: str = format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))
    return code


def signed_in(device: type[App], **environment: str) -> App:
    """Returns a device whose user signed in and then reauthenticated with the password."""
    phone = device(**environment)
    assert phone.sign_in().status == 200
    assert phone.post("auth/reauthenticate", password=PASSWORD).status == 200
    return phone


def enrolled(device: type[App] = App) -> tuple[App, str]:
    phone = signed_in(device)
    answer = phone.get("account/authenticators/totp")
    assert answer.status == 404
    secret = answer.json["meta"]["secret"]
    assert phone.post("account/authenticators/totp", code=totp(secret)).status == 200
    return phone, secret


def with_key(device: type[App], key: SoftKey) -> App:
    phone = signed_in(device)
    options = phone.get("account/authenticators/webauthn").json["data"]["creation_options"]
    answer = phone.post("account/authenticators/webauthn", name="My key", credential=key.registered(options))
    assert answer.status == 200, answer.json
    return phone


# --- Codes of an authenticator app ---


@pytest.mark.parametrize("device", DEVICES)
def test_with_an_authenticator_app_the_password_alone_does_not_sign_in(
    device: type[App], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        _, secret = enrolled(device)
    phone, success, failed = device(), Change("amani_logins_total", outcome="success"), mfa_failures()
    answer = phone.sign_in()
    assert (answer.status, answer.pending, phone.me()) == (401, ["mfa_authenticate"], 401)
    assert phone.post("auth/2fa/authenticate", code="000000").errors == WRONG_CODE
    assert (phone.me(), success(), failed()) == (401, 0, 1)
    assert phone.post("auth/2fa/authenticate", code=totp(secret, 1)).status == 200
    assert (phone.me(), success(), failed()) == (200, 1, 1)
    assert mail.outbox[-1].subject == "Authenticator App Activated"


def mfa_failures() -> Change:
    return Change("amani_logins_total", outcome="mfa_failed")


def test_a_code_works_once() -> None:
    _, secret = enrolled()
    code = totp(secret, 1)
    first, second = App(), App()
    for phone in (first, second):
        phone.sign_in()
        phone.post("auth/2fa/authenticate", code=code)
    assert (first.me(), second.me()) == (200, 401)


def test_a_code_of_an_hour_ago_is_wrong() -> None:
    _, secret = enrolled()
    phone = App()
    phone.sign_in()
    assert phone.post("auth/2fa/authenticate", code=totp(secret, -120)).errors == WRONG_CODE


def test_codes_cannot_be_guessed_without_end() -> None:
    _, secret = enrolled()
    locked = Change("amani_logins_total", outcome="locked_out")
    phone = App()
    phone.sign_in()
    for _ in range(5):
        assert phone.post("auth/2fa/authenticate", code="000000").errors == WRONG_CODE
    answer = phone.post("auth/2fa/authenticate", code=totp(secret, 1))
    assert answer.errors == [("too_many_login_attempts", "code")]
    assert (phone.me(), locked()) == (401, 1)


def test_adding_a_factor_requires_reauthentication() -> None:
    phone = App()
    phone.sign_in()
    secret = phone.get("account/authenticators/totp").json["meta"]["secret"]
    answer = phone.post("account/authenticators/totp", code=totp(secret))
    assert (answer.status, answer.json["data"]["flows"][0]) == (401, {"id": "reauthenticate"})
    assert not Authenticator.objects.exists()


def test_a_wrong_first_code_enrols_nothing_and_counts_as_no_failed_sign_in() -> None:
    phone, failed = signed_in(App), mfa_failures()
    phone.get("account/authenticators/totp")
    assert phone.post("account/authenticators/totp", code="000000").errors == WRONG_CODE
    assert not Authenticator.objects.exists()
    assert failed() == 0


@pytest.mark.parametrize("device", DEVICES)
def test_a_recovery_code_stands_in_for_the_app_and_works_once(device: type[App]) -> None:
    phone, _ = enrolled(device)
    codes = phone.post("account/authenticators/recovery-codes").json["data"]["unused_codes"]
    assert len(set(codes)) == 10
    for expected in (200, 400):
        tablet = device()
        tablet.sign_in()
        assert tablet.post("auth/2fa/authenticate", code=codes[0]).status == expected
    assert phone.get("account/authenticators/recovery-codes").json["data"]["unused_code_count"] == 9


def test_after_the_app_is_removed_the_password_alone_signs_in() -> None:
    phone, _ = enrolled()
    assert phone.delete("account/authenticators/totp").status == 200
    assert not Authenticator.objects.exists()
    assert App().sign_in().status == 200


def test_with_a_factor_the_password_alone_does_not_reauthenticate(ada: User) -> None:
    """An attacker has the unlocked telephone, with an open session, and knows the password."""
    phone, secret = App(), enrolled()[1]
    phone.sign_in()
    phone.post("auth/2fa/authenticate", code=totp(secret, 1))
    cache.clear()  # so that the same code can be used again
    refused = phone.post("auth/reauthenticate", password=PASSWORD)
    assert (refused.status, refused.errors) == (400, [("second_factor_required", "password")])
    assert phone.delete("account/authenticators/totp").status == 401
    assert phone.post("account/email", email="thief@example.com").status == 401
    assert phone.request("DELETE", "/api/v1/me").status_code == 403
    assert Authenticator.objects.filter(user=ada, type="totp").exists()
    assert User.objects.get(pk=ada.pk).erased_at is None
    assert phone.post("auth/2fa/reauthenticate", code=totp(secret, 1)).status == 200
    assert phone.request("DELETE", "/api/v1/me").status_code == 204


def test_a_new_password_does_not_get_round_the_second_factor() -> None:
    enrolled()
    phone = App()
    phone.post("auth/password/request", email=EMAIL)
    phone.post("auth/password/reset", key=code_in_mail(), password="staple battery horse")
    assert phone.me() == 401
    answer = phone.sign_in(password="staple battery horse")
    assert (answer.pending, phone.me()) == (["mfa_authenticate"], 401)


# --- Security keys ---


@pytest.mark.parametrize("device", DEVICES)
def test_a_security_key_is_enrolled_and_signs_in(device: type[App]) -> None:
    key = SoftKey()
    with_key(device, key)
    phone = device()
    assert phone.sign_in().pending == ["mfa_authenticate"]
    options = phone.get("auth/webauthn/authenticate").json["data"]["request_options"]
    assert options["publicKey"]["rpId"] == "localhost"
    assert phone.post("auth/webauthn/authenticate", credential=key.signed(options)).status == 200
    assert phone.me() == 200


def key_on_another_site(key: SoftKey, options: dict[str, Any]) -> dict[str, Any]:
    key.origin = "https://localhost.example.com"
    return key.signed(options)


def another_key(_: SoftKey, options: dict[str, Any]) -> dict[str, Any]:
    return SoftKey().signed(options)


def same_name_other_key(key: SoftKey, options: dict[str, Any]) -> dict[str, Any]:
    stranger = SoftKey()
    stranger.credential_id = key.credential_id
    return stranger.signed(options)


def old_challenge(key: SoftKey, options: dict[str, Any]) -> dict[str, Any]:
    return key.signed({"publicKey": {**options["publicKey"], "challenge": "AAAA"}})


REFUSED = [key_on_another_site, another_key, same_name_other_key, old_challenge]


@pytest.mark.parametrize("answer", REFUSED)
def test_a_key_that_does_not_fit_opens_nothing(answer: Any) -> None:
    key = SoftKey()
    with_key(App, key)
    phone, failed = App(), mfa_failures()
    phone.sign_in()
    options = phone.get("auth/webauthn/authenticate").json["data"]["request_options"]
    refused = phone.post("auth/webauthn/authenticate", credential=answer(key, options))
    assert (refused.status, refused.errors) == (400, WRONG_KEY)
    assert (phone.me(), failed()) == (401, 1)


def test_a_key_from_another_site_is_not_enrolled() -> None:
    phone, failed = signed_in(App), mfa_failures()
    options = phone.get("account/authenticators/webauthn").json["data"]["creation_options"]
    key = SoftKey("https://localhost.example.com")
    assert (
        phone.post("account/authenticators/webauthn", name="", credential=key.registered(options)).status
        == 400
    )
    assert not Authenticator.objects.exists()
    assert failed() == 0


def test_the_site_of_a_key_is_the_frontend_s_and_not_the_host_header_s(settings: Any) -> None:
    settings.FRONTEND_URL = "https://app.amani.example"
    settings.ALLOWED_HOSTS = ["api.amani.example"]
    phone = signed_in(App, HTTP_HOST="api.amani.example")
    options = phone.get("account/authenticators/webauthn").json["data"]["creation_options"]
    assert options["publicKey"]["rp"] == {"id": "app.amani.example", "name": "Amani"}
