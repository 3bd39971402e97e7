"""Attacks on the limits: strangers who use them up for an owner, and many attempts at the same instant."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import redis
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.known_devices import COOKIE
from accounts.models import Mail, User
from accounts.tests.devices import DEVICES, EMAIL, PASSWORD, App, Browser, code_in_mail, make_person
from observability.tests.samples import Change
from observability.tests.waiting import ANSWER_SECONDS

pytestmark = pytest.mark.django_db

WRONG = [("email_password_mismatch", "password")]
LOCKED = [("too_many_login_attempts", "")]
NEW_PASSWORD = "staple battery horse"
HERE = {"REMOTE_ADDR": "10.0.0.1"}  # the owner's source
BOB = "bob@example.com"


@pytest.fixture
def ada() -> User:
    return make_person()


@pytest.fixture
def few(settings: Any) -> None:
    """Less by address alone, so that a test needs fewer sources. What is not limited stays so."""
    shipped = settings.ACCOUNT_RATE_LIMITS
    limited = [name for name in ("wrong_password_by_address", "code_by_address") if shipped[name]]
    settings.ACCOUNT_RATE_LIMITS = shipped | dict.fromkeys(limited, "4/h/key")


def guess(times: int, email: str = EMAIL, **environment: str) -> list[tuple[str, str]]:
    """Returns the errors of the last of some sign-ins with a wrong password."""
    for _ in range(times):
        answer = App(**environment).sign_in(email, "wrong")
    return answer.errors


def guess_from_everywhere(times: int) -> list[tuple[str, str]]:
    for number in range(times):
        errors = guess(1, REMOTE_ADDR=f"10.9.{number}.1")
    return errors


def request_codes(times: int, **environment: str) -> int:
    """Returns the status of the last of some requests for a code."""
    for _ in range(times):
        status = App(**environment).post("auth/password/request", email=EMAIL).status
    return status


def sign_out(phone: App) -> None:
    phone.delete("auth/session")
    phone.token = ""


def signs_in_at_the_console(browser: Client, source: str, password: str = PASSWORD) -> bool:
    fields = {"login": EMAIL, "password": password}
    return browser.post("/accounts/login/", fields, REMOTE_ADDR=source).status_code == 302


# --- Wrong passwords ---


@pytest.mark.parametrize("device", DEVICES)
def test_wrong_passwords_of_a_stranger_do_not_lock_the_owner_out(device: type[App], ada: User) -> None:
    assert guess(6, REMOTE_ADDR="10.0.0.2") == LOCKED
    assert device(**HERE).sign_in().status == 200
    assert signs_in_at_the_console(Client(), HERE["REMOTE_ADDR"])
    assert App(REMOTE_ADDR="10.0.0.2").sign_in().errors == LOCKED


def test_one_source_uses_up_only_its_own_part_of_an_address(few: None, ada: User, settings: Any) -> None:
    less = {"wrong_password_by_address_and_source": "2/5m/key"}
    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | less
    assert guess(9, REMOTE_ADDR="10.0.0.2") == LOCKED
    assert guess(1, REMOTE_ADDR="10.0.0.3") == WRONG
    assert App(**HERE).sign_in().status == 200


def test_many_sources_together_do_not_guess_without_end(few: None, ada: User) -> None:
    assert guess_from_everywhere(4) == WRONG
    locked = Change("amani_logins_total", outcome="locked_out")
    assert App(REMOTE_ADDR="10.0.0.7").sign_in().errors == LOCKED
    assert locked() == 1


def test_one_source_does_not_guess_at_one_account_after_the_other(ada: User, settings: Any) -> None:
    less = {"wrong_password_by_source": "3/h/ip"}
    assert less.keys() <= settings.ACCOUNT_RATE_LIMITS.keys()
    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | less
    for number in range(3):
        assert guess(1, f"user{number}@example.com", REMOTE_ADDR="10.0.0.2") == WRONG
    assert guess(1, "another@example.com", REMOTE_ADDR="10.0.0.2") == LOCKED
    assert App(REMOTE_ADDR="10.0.0.2").sign_in().errors == LOCKED
    assert App(**HERE).sign_in().status == 200


def test_the_sources_of_one_network_are_one(ada: User) -> None:
    for number in range(5):
        guess(1, REMOTE_ADDR=f"2001:db8::{number}")
    assert App(REMOTE_ADDR="2001:db8::ffff").sign_in().errors == LOCKED
    assert App(REMOTE_ADDR="2001:db8:0:1::1").sign_in().status == 200


# --- A known device ---


@pytest.mark.parametrize("device", DEVICES)
def test_a_known_device_gets_in_whatever_strangers_do(device: type[App], few: None, ada: User) -> None:
    """They guess from many sources, and from the owner's own: one office, or one mobile operator."""
    phone = device(**HERE)
    phone.sign_in()
    sign_out(phone)
    use_up_everything(HERE["REMOTE_ADDR"])
    assert device(**HERE).sign_in().status in (400, 429)
    assert phone.sign_in().status == 200
    sign_out(phone)
    mail.outbox.clear()
    assert phone.post("auth/password/request", email=EMAIL).status == 401
    assert phone.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD).status == 401
    assert phone.sign_in(password=NEW_PASSWORD).status == 200


def test_a_known_browser_gets_in_at_the_console(few: None, ada: User) -> None:
    browser = Client()
    assert signs_in_at_the_console(browser, HERE["REMOTE_ADDR"])
    cookie = browser.cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    browser.post("/accounts/logout/")
    use_up_everything(HERE["REMOTE_ADDR"])
    assert not signs_in_at_the_console(Client(), HERE["REMOTE_ADDR"])
    assert signs_in_at_the_console(browser, HERE["REMOTE_ADDR"])


def use_up_everything(source: str) -> None:
    guess_from_everywhere(5)
    stranger = App(REMOTE_ADDR=source)
    for number in range(31):  # sign-in by source allows 30 a minute
        stranger.sign_in(f"person-{number}@example.com", "wrong")
    for number in range(21):  # a code and its use 20 a minute
        stranger.post("auth/password/request", email=f"person-{number}@example.com")
        stranger.post("auth/password/reset", key="BBBB-BBBB", password=NEW_PASSWORD)
    for number in range(5):
        request_codes(1, REMOTE_ADDR=f"10.8.{number}.1")


def test_a_new_device_gets_in_with_a_code_while_strangers_guess(few: None, ada: User) -> None:
    """The code makes the device a known one, before the strangers use up the counters again."""
    phone = App(**HERE)
    guess_from_everywhere(5)
    assert phone.sign_in().errors == LOCKED
    phone.post("auth/password/request", email=EMAIL)
    assert phone.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD).status == 401
    guess_from_everywhere(5)
    assert App(REMOTE_ADDR="10.0.0.7").sign_in(password=NEW_PASSWORD).errors == LOCKED
    assert phone.sign_in(password=NEW_PASSWORD).status == 200


def test_a_new_password_lets_the_owners_other_devices_in_again(few: None, ada: User) -> None:
    """Known or not: what was guessed before counts no longer, by address or by address and source."""
    phone = App(**HERE)
    guess(6, **HERE)
    assert guess_from_everywhere(5) == LOCKED
    phone.post("auth/password/request", email=EMAIL)
    phone.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD)
    for source in (HERE["REMOTE_ADDR"], "10.0.0.7"):
        assert App(REMOTE_ADDR=source).sign_in(password=NEW_PASSWORD).status == 200


def test_a_known_device_does_not_guess_without_end_either(ada: User) -> None:
    phone, other = App(**HERE), App(REMOTE_ADDR="10.0.0.2")
    for device in (phone, other):
        device.sign_in()
        sign_out(device)
    for _ in range(5):
        assert phone.sign_in(password="wrong").errors == WRONG
    assert phone.sign_in().errors == LOCKED
    assert other.sign_in().status == 200


def test_a_signed_in_user_can_reauthenticate_whatever_strangers_do(few: None, ada: User) -> None:
    phone = App(**HERE)
    phone.sign_in()
    phone.device_token = ""
    use_up_everything(HERE["REMOTE_ADDR"])
    assert phone.post("auth/reauthenticate", password=PASSWORD).status == 200
    for _ in range(5):
        phone.post("auth/reauthenticate", password="wrong")
    locked = [("too_many_login_attempts", "password")]
    assert phone.post("auth/reauthenticate", password=PASSWORD).errors == locked


def test_a_token_is_of_one_account_and_of_its_present_state(few: None, ada: User) -> None:
    make_person(BOB)
    thief, owner = App(**HERE), App(**HERE)
    thief.sign_in()
    owner.sign_in()
    stale, bobs = App(**HERE), App(**HERE)
    bobs.sign_in(BOB)
    sign_out(bobs)
    stale.device_token = thief.device_token
    owner.post("account/password/change", current_password=PASSWORD, new_password=NEW_PASSWORD)
    sign_out(owner)
    guess_from_everywhere(5)
    assert stale.sign_in(password=NEW_PASSWORD).errors == LOCKED
    assert bobs.sign_in(password=NEW_PASSWORD).errors == LOCKED
    assert owner.sign_in(password=NEW_PASSWORD).status == 200


@pytest.mark.parametrize("token", ["x", "a:b:c", "\x00", "é", "W10:1:x"])
def test_a_forged_token_makes_no_device_known(token: str, few: None, ada: User) -> None:
    guess_from_everywhere(5)
    phone, browser = App(**HERE), Client()
    phone.device_token = token
    browser.cookies[COOKIE] = token
    assert phone.sign_in().errors == LOCKED
    assert not signs_in_at_the_console(browser, "10.0.0.5")


def test_an_erased_account_leaves_no_token_in_the_browser(ada: User) -> None:
    browser = Browser()
    browser.sign_in()
    browser.post("auth/reauthenticate", password=PASSWORD)
    before = browser.client.cookies[COOKIE].value
    assert browser.request("DELETE", "/api/v1/me").status_code == 204
    assert browser.client.cookies[COOKIE].value == before


# --- Requests for codes ---


def test_requests_of_a_stranger_do_not_close_the_way_out(ada: User) -> None:
    assert request_codes(6, REMOTE_ADDR="10.0.0.2") == 429
    assert request_codes(1, **HERE) == 401
    page = Client().post("/accounts/password/reset/", {"email": EMAIL}, REMOTE_ADDR=HERE["REMOTE_ADDR"])
    assert page.status_code == 302


def test_the_page_for_a_code_is_limited_like_the_api(ada: User) -> None:
    browser = Client()
    statuses = [browser.post("/accounts/password/reset/", {"email": EMAIL}).status_code for _ in range(6)]
    assert statuses == [302, 302, 302, 302, 302, 429]


def test_many_sources_together_do_not_fill_a_mailbox(few: None, ada: User) -> None:
    statuses = [request_codes(1, REMOTE_ADDR=f"10.8.{number}.1") for number in range(6)]
    assert statuses == [401, 401, 401, 401, 429, 429]
    assert len(mail.outbox) == 4


# --- Mail that a stranger can cause ---


@pytest.mark.parametrize("address", ["nobody@example.com", "Nobody@Example.com"])
def test_an_address_without_an_account_gets_one_mail_an_hour(address: str, settings: Any) -> None:
    for number in range(4):
        phone = App(REMOTE_ADDR=f"10.0.0.{number}")
        pending = phone.post(
            "auth/password/request", email=("nobody@example.com", address)[number % 2]
        ).pending
        assert pending == ["password_reset_by_code"]
    assert [message.to for message in mail.outbox] == [["nobody@example.com"]]
    server = redis.Redis.from_url(settings.REDIS_URL)
    [key] = server.scan_iter("*accounts:notice:*")
    assert 3500 < server.ttl(key) <= 3600
    server.close()


def test_who_signs_up_with_the_address_of_an_owner_causes_one_mail_an_hour(ada: User, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = settings.ACCOUNT_RATE_LIMITS | {"confirm_email": ""}
    assert [App().sign_up().pending for _ in range(3)] == [["verify_email"]] * 3
    assert [message.to for message in mail.outbox] == [[EMAIL]]


def test_a_mail_that_is_left_out_costs_as_much_as_one_that_is_sent(settings: Any) -> None:
    settings.EMAIL_BACKEND = "accounts.mail.backend.OutboxBackend"
    stored = [stored_mails_of_a_request() for _ in range(3)]
    assert stored == [1, 1, 1]
    assert Mail.objects.count() == 1


def stored_mails_of_a_request() -> int:
    with CaptureQueriesContext(connection) as queries:
        App().post("auth/password/request", email="nobody@example.com")
    return sum(query["sql"].startswith('INSERT INTO "accounts_mail"') for query in queries)


# --- At the same instant ---

AT_ONCE = 8


def at_once(act: Callable[[], Any]) -> list[Any]:
    """Returns the results of AT_ONCE threads that act at the same instant."""
    together = Barrier(AT_ONCE, timeout=ANSWER_SECONDS)

    def wait_and_act(_: int) -> Any:
        together.wait()
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(wait_and_act, range(AT_ONCE)))


@pytest.mark.django_db(transaction=True)
def test_of_many_wrong_passwords_at_once_no_more_are_compared_than_one_after_the_other() -> None:
    make_person()
    errors = at_once(lambda: App().sign_in(password="wrong").errors)
    assert errors.count(WRONG) <= 5
    assert errors.count(WRONG) + errors.count(LOCKED) == AT_ONCE
    assert App().sign_in().errors == LOCKED or errors.count(WRONG) < 5


@pytest.mark.django_db(transaction=True)
def test_of_many_wrong_second_factors_at_once_no_more_are_compared_than_one_after_the_other() -> None:
    TOTP.activate(make_person(), generate_totp_secret())
    phone = App()
    phone.sign_in()
    path = phone.base + "auth/2fa/authenticate"
    answers = at_once(lambda: copy_of(phone).request("POST", path, {"code": "000000"}).json())
    codes = [answer["errors"][0]["code"] for answer in answers]
    assert codes.count("incorrect_code") <= 5
    assert codes.count("incorrect_code") + codes.count("too_many_login_attempts") == AT_ONCE


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("device", DEVICES)
def test_of_many_wrong_codes_for_a_password_at_once_three_are_compared(device: type[App]) -> None:
    make_person()
    phone = device()
    phone.post("auth/password/request", email=EMAIL)
    body = {"key": "BBBB-BBBB", "password": NEW_PASSWORD}
    path = phone.base + "auth/password/reset"
    statuses = at_once(lambda: copy_of(phone).request("POST", path, body).status_code)
    assert sorted(set(statuses)) == [400, 409]
    assert statuses.count(400) == 3
    assert phone.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD).status == 409
    assert not User.objects.get().check_password(NEW_PASSWORD)


@pytest.mark.django_db(transaction=True)
def test_of_many_wrong_codes_in_a_header_at_once_three_are_compared() -> None:
    make_person()
    phone = App()
    phone.post("auth/password/request", email=EMAIL)
    headers = {"X-Session-Token": phone.token, "X-Password-Reset-Key": "BBBB-BBBB"}
    path = phone.base + "auth/password/reset"
    statuses = at_once(lambda: Client().get(path, headers=headers).status_code)
    assert statuses.count(400) == 3
    assert phone.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD).status == 409


@pytest.mark.django_db(transaction=True)
def test_of_many_wrong_codes_for_an_address_at_once_three_are_compared() -> None:
    phone = App()
    phone.sign_up()
    path = phone.base + "auth/email/verify"
    statuses = at_once(lambda: copy_of(phone).request("POST", path, {"key": "BBBB-BBBB"}).status_code)
    assert statuses.count(400) == 3
    assert phone.post("auth/email/verify", key=code_in_mail()).status == 409
    assert phone.me() == 401


@pytest.mark.django_db(transaction=True)
def test_of_many_wrong_codes_on_the_page_at_once_three_are_compared() -> None:
    make_person()
    browser = Client()
    browser.post("/accounts/password/reset/", {"email": EMAIL})
    key = browser.cookies["sessionid"].value

    def give_wrong_code() -> int:
        thread = Client()
        thread.cookies["sessionid"] = key
        return thread.post("/accounts/password/reset/confirm/", {"code": "BBBB-BBBB"}).status_code

    assert at_once(give_wrong_code).count(200) <= 3
    browser.post("/accounts/password/reset/confirm/", {"code": code_in_mail()})
    assert browser.get("/accounts/password/reset/complete/").status_code == 302


def copy_of(phone: App) -> App:
    """Returns a client of the same session, because threads cannot share one."""
    copy = type(phone)()
    copy.token = phone.token
    copy.client.cookies.update(phone.client.cookies)
    return copy


def test_a_right_code_with_a_bad_password_costs_no_attempt(ada: User) -> None:
    phone = App()
    phone.post("auth/password/request", email=EMAIL)
    for _ in range(4):
        answer = phone.post("auth/password/reset", key=code_in_mail(), password="short")
        assert answer.errors == [("password_too_short", "password")]
    assert phone.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD).status == 401


def test_another_code_has_its_own_attempts(ada: User) -> None:
    phone = App()
    for _ in range(2):
        phone.post("auth/password/request", email=EMAIL)
        for _ in range(2):
            phone.post("auth/password/reset", key="BBBB-BBBB", password=NEW_PASSWORD)
    assert phone.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD).status == 401
