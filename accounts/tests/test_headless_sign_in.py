"""Tests sign-in in both clients: refusals, limits, metrics, and the end of sessions."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.core import mail
from django.core.cache import cache

from accounts.metrics import LOGIN_OUTCOMES
from accounts.models import User
from accounts.tests.devices import DEVICES, EMAIL, PASSWORD, App, code_in_mail, make_person
from observability.telemetry.logs.formatting import Formatter
from observability.tests.samples import Change

pytestmark = pytest.mark.django_db

WRONG = [("email_password_mismatch", "password")]
LOCKED = [("too_many_login_attempts", "")]
NEW_PASSWORD = "staple battery horse"


@pytest.fixture
def ada() -> User:
    return make_person()


@pytest.fixture
def counted() -> dict[str, Change]:
    return {outcome: Change("amani_logins_total", outcome=outcome) for outcome in LOGIN_OUTCOMES}


def counts(counted: dict[str, Change]) -> dict[str, float]:
    return {outcome: change() for outcome, change in counted.items() if change()}


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """What the log says of an event, without what every line has."""
    logged = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return [
        {name: line.get(name) for name in ("outcome", "user_id", "remote_address") if name in line}
        for line in logged
        if line["event"] == event
    ]


# --- Right and wrong ---


@pytest.mark.parametrize("device", DEVICES)
def test_the_right_password_opens_a_session_whatever_the_case_of_the_address(
    device: type[App], ada: User, counted: dict[str, Change], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    phone = device()
    answer = phone.sign_in("Ada@EXAMPLE.com")
    assert (answer.status, answer.json["data"]["user"]["id"]) == (200, ada.pk)
    assert phone.me() == 200
    assert counts(counted) == {"success": 1}
    assert lines(caplog, "signed_in") == [{"user_id": ada.pk, "remote_address": "127.0.0.1"}]


@pytest.mark.parametrize("device", DEVICES)
def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(
    device: type[App], ada: User, counted: dict[str, Change], caplog: pytest.LogCaptureFixture
) -> None:
    phone = device()
    of_wrong, of_unknown = phone.sign_in(password="wrong"), phone.sign_in("bob@example.com", "wrong")
    assert of_wrong.status == of_unknown.status == 400
    assert of_wrong.json == of_unknown.json
    assert of_wrong.errors == WRONG
    assert phone.me() == 401
    assert counts(counted) == {"wrong_password": 1, "unknown_account": 1}
    assert lines(caplog, "sign_in_failed") == [
        {"outcome": "wrong_password", "user_id": ada.pk, "remote_address": "127.0.0.1"},
        {"outcome": "unknown_account", "user_id": None, "remote_address": "127.0.0.1"},
    ]


def test_neither_address_nor_password_nor_token_reaches_the_log(
    ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    phone = App()
    phone.sign_in(password="wrong-password-7")
    phone.sign_in("bob.nobody@example.com", "wrong-password-8")
    phone.sign_in()
    phone.me()
    phone.post("auth/password/request", email=EMAIL)
    written = "\n".join(Formatter("json").format(record) for record in caplog.records)
    assert written.count("sign_in_failed") == 2
    for secret in (EMAIL, "bob.nobody", "wrong-password", PASSWORD, phone.token):
        assert secret not in written


def test_operators_failures_on_their_page_are_counted_too(ada: User, counted: dict[str, Change]) -> None:
    page = App().client
    page.handler.enforce_csrf_checks = False
    for password in ("wrong", PASSWORD):
        page.post("/accounts/login/", {"login": EMAIL, "password": password})
    assert counts(counted) == {"wrong_password": 1, "success": 1}


# --- Lockout ---


def fail(times: int, email: str = EMAIL, **environment: str) -> None:
    for _ in range(times):
        assert App(**environment).sign_in(email, "wrong").errors == WRONG


def test_after_five_wrong_passwords_even_the_right_one_must_wait(
    ada: User, counted: dict[str, Change], caplog: pytest.LogCaptureFixture
) -> None:
    fail(5)
    phone = App()
    assert phone.sign_in().errors == LOCKED
    assert phone.me() == 401
    assert counts(counted) == {"wrong_password": 5, "locked_out": 1}
    assert lines(caplog, "sign_in_failed")[-1] == {
        "outcome": "locked_out",
        "user_id": ada.pk,
        "remote_address": "127.0.0.1",
    }
    make_person("bob@example.com")
    assert App().sign_in("bob@example.com").status == 200


def test_a_right_password_in_between_does_not_give_five_more(ada: User) -> None:
    fail(4)
    assert App().sign_in().status == 200
    fail(1)
    assert App().sign_in().errors == LOCKED


def test_another_port_or_name_in_the_host_header_does_not_help(ada: User, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["localhost", ".example.com"]
    for number in range(5):
        fail(1, HTTP_HOST=f"host-{number}.example.com:{8000 + number}")
    assert App(HTTP_HOST="localhost:1").sign_in().errors == LOCKED


def test_guessing_at_many_accounts_from_one_address_ends_after_ten() -> None:
    for number in range(10):
        fail(1, f"person-{number}@example.com")
    assert App().sign_in("person-11@example.com", "wrong").errors == LOCKED


@pytest.mark.parametrize(("proxies", "errors"), [(0, LOCKED), (1, LOCKED), (2, WRONG)])
def test_what_a_client_says_of_its_address_counts_as_far_as_proxies_are_trusted(
    proxies: int, errors: list[tuple[str, str]], settings: Any
) -> None:
    """X-Forwarded-For is the guesser's own claim, then what one proxy added; the next proxy's is the peer."""
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    for number in range(10):
        fail(1, f"person-{number}@example.com", HTTP_X_FORWARDED_FOR=f"10.1.1.{number}, 10.0.0.1")
    claim = App(HTTP_X_FORWARDED_FOR="10.1.1.99, 10.0.0.1")
    assert claim.sign_in("person-11@example.com", "wrong").errors == errors


def test_request_that_bypassed_the_proxies_has_the_address_of_its_connection(
    ada: User, settings: Any
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 3
    assert App(HTTP_X_FORWARDED_FOR="10.1.1.1").sign_in().status == 200


# --- Accounts that are switched off ---


@pytest.mark.parametrize("device", DEVICES)
def test_an_account_that_is_switched_off_gets_no_session_and_loses_its_own(
    device: type[App], ada: User, counted: dict[str, Change]
) -> None:
    phone, tablet = device(), device()
    phone.sign_in()
    User.objects.update(is_active=False)
    assert tablet.sign_in().status == 401
    assert (phone.me(), tablet.me()) == (401, 401)
    assert phone.get("auth/session").status == 401
    assert counts(counted) == {"success": 1, "inactive": 1}


# --- The end of sessions ---


def test_after_signing_out_the_token_is_worth_nothing(ada: User) -> None:
    phone, tablet = App(), App()
    phone.sign_in()
    tablet.sign_in()
    token = phone.token
    assert phone.delete("auth/session").status == 401
    phone.token = token
    assert (phone.me(), phone.get("auth/session").status, tablet.me()) == (401, 410, 200)


@pytest.mark.parametrize("device", DEVICES)
def test_a_new_password_ends_all_other_sessions(device: type[App], ada: User) -> None:
    phone, tablet, browser = device(), App(), DEVICES[1]()
    for one in (phone, tablet, browser):
        one.sign_in()
    old_token = phone.token
    answer = phone.post("account/password/change", current_password=PASSWORD, new_password=NEW_PASSWORD)
    assert answer.status == 200
    assert (phone.me(), tablet.me(), browser.me()) == (200, 401, 401)
    assert tablet.get("auth/session").status == 410
    if old_token:
        phone.token = old_token
        assert phone.me() == 401
    assert authenticate(email=EMAIL, password=NEW_PASSWORD) == ada
    assert mail.outbox[-1].subject == "Password Changed"
    assert "127.0.0.1" in mail.outbox[-1].body


def test_a_wrong_current_password_changes_nothing(ada: User) -> None:
    phone = App()
    phone.sign_in()
    answer = phone.post("account/password/change", current_password="wrong", new_password=NEW_PASSWORD)
    assert answer.errors == [("enter_current_password", "current_password")]
    assert authenticate(email=EMAIL, password=PASSWORD) == ada
    assert phone.me() == 200


@pytest.mark.parametrize("device", DEVICES)
def test_a_forgotten_password_is_replaced_with_a_code_and_every_session_ends(
    device: type[App], ada: User
) -> None:
    stolen, phone = App(), device()
    stolen.sign_in()
    fail(5)  # of the account, whose lockout the code ends
    assert phone.post("auth/password/request", email=EMAIL).pending == ["password_reset_by_code"]
    code = code_in_mail()
    assert phone.post("auth/password/reset", key="BBBB-BBBB", password=NEW_PASSWORD).status == 400
    assert phone.post("auth/password/reset", key=code, password="short").errors == [
        ("password_too_short", "password")
    ]
    assert authenticate(email=EMAIL, password=PASSWORD) == ada

    assert phone.post("auth/password/reset", key=code, password=NEW_PASSWORD).status == 401
    assert (stolen.me(), phone.me()) == (401, 401)
    assert device().sign_in(password=PASSWORD).errors == WRONG
    assert device().sign_in(password=NEW_PASSWORD).status == 200
    assert phone.post("auth/password/reset", key=code, password=PASSWORD).status == 409


def test_strangers_cannot_tell_whose_password_can_be_reset(ada: User) -> None:
    of_known = App().post("auth/password/request", email=EMAIL)
    of_unknown = App().post("auth/password/request", email="bob@example.com")
    for answer in (of_known, of_unknown):
        assert answer.json["meta"].pop("session_token")
    assert of_known.json == of_unknown.json
    assert [message.subject for message in mail.outbox] == [
        "Your code for a new password",
        "There is no account with this address",
    ]


def test_three_wrong_codes_and_the_right_one_resets_nothing(ada: User) -> None:
    phone = App()
    phone.post("auth/password/request", email=EMAIL)
    for _ in range(3):
        phone.post("auth/password/reset", key="BBBB-BBBB", password=NEW_PASSWORD)
    assert phone.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD).status == 409
    assert authenticate(email=EMAIL, password=PASSWORD) == ada


def test_requests_for_codes_are_limited(ada: User) -> None:
    statuses = [App().post("auth/password/request", email=EMAIL).status for _ in range(6)]
    assert statuses == [401, 401, 401, 401, 401, 429]
    assert len(mail.outbox) == 5


def test_a_new_address_must_be_verified_and_the_old_one_is_notified(ada: User) -> None:
    phone = App()
    phone.sign_in()
    answer = phone.post("account/email", email="new@example.com")
    assert answer.status == 401  # signed in, and asked once more for the password
    assert phone.post("auth/reauthenticate", password="wrong").errors == [("incorrect_password", "password")]
    assert phone.post("auth/reauthenticate", password=PASSWORD).status == 200
    assert phone.post("account/email", email="new@example.com").status == 200
    assert User.objects.get().email == EMAIL
    assert phone.post("auth/email/verify", key=code_in_mail()).status == 200
    assert User.objects.get().email == "new@example.com"
    assert (mail.outbox[-1].to, mail.outbox[-1].subject) == ([EMAIL], "Email Changed")
    assert phone.me() == 200
    cache.clear()
    assert App().sign_in().errors == WRONG
    assert App().sign_in("new@example.com").status == 200
