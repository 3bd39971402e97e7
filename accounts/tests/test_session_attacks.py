"""Attacks on sign-in: a planted session key, and one code in several sign-ins at the same instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.db import connection
from django.test import Client

from accounts.models import User
from accounts.tests.devices import EMAIL, PASSWORD, App, make_person
from accounts.tests.test_headless_mfa import totp
from observability.tests.waiting import ANSWER_SECONDS

ATTACKERS = 4


@pytest.fixture
def ada(transactional_db: None) -> User:
    return make_person()


def test_a_key_from_before_sign_in_is_worth_nothing_after_it(ada: User) -> None:
    browser = Client()
    browser.session.save()  # the attacker plants the cookie of a session of their own
    planted = browser.session
    planted["mine"] = True
    planted.save()
    browser.cookies["sessionid"] = str(planted.session_key)
    browser.post("/accounts/login/", {"login": EMAIL, "password": PASSWORD})
    key = browser.cookies["sessionid"].value
    assert key != planted.session_key

    thief = App()
    thief.token = str(planted.session_key)
    assert thief.me() == 401
    thief.token = key
    assert thief.me() == 200


def test_of_several_uses_of_a_totp_code_at_once_one_succeeds(ada: User) -> None:
    secret = generate_totp_secret()
    TOTP.activate(ada, secret)
    code = totp(secret)
    assert outcomes_at_once(lambda phone: phone.post("auth/2fa/authenticate", code=code).status) == {
        200: 1,
        400: ATTACKERS - 1,
    }


def test_of_several_uses_of_a_recovery_code_at_once_one_succeeds(ada: User) -> None:
    TOTP.activate(ada, generate_totp_secret())
    codes = RecoveryCodes.activate(ada).get_unused_codes()
    statuses = outcomes_at_once(lambda phone: phone.post("auth/2fa/authenticate", code=codes[0]).status)
    assert statuses == {200: 1, 400: ATTACKERS - 1}
    row = Authenticator.objects.get(type=Authenticator.Type.RECOVERY_CODES)
    assert RecoveryCodes(row).get_unused_codes() == codes[1:]


def outcomes_at_once(attempt: Callable[[App], int]) -> Counter[int]:
    """What `attempt` returned for each device; all of them have given the password and begin together."""
    phones = [App() for _ in range(ATTACKERS)]
    for phone in phones:
        assert phone.sign_in().pending == ["mfa_authenticate"]
    start = Barrier(ATTACKERS, timeout=ANSWER_SECONDS)

    def run(phone: App) -> int:
        try:
            start.wait()
            return attempt(phone)
        finally:
            connection.close()

    with ThreadPoolExecutor(ATTACKERS) as pool:
        return Counter(pool.map(run, phones))
