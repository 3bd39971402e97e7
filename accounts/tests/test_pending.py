"""A table: everything pending for an account ends after each change of the account."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.test import Client

from accounts import erasure, operators, pending
from accounts.erasure import erase_account
from accounts.models import User
from accounts.pending import STATES
from accounts.session_store import SessionStore
from accounts.tests.devices import EMAIL, PASSWORD, App, Browser, code_in_mail, make_person
from accounts.tests.test_headless_mfa import totp

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "staple battery horse"
OTHER_PASSWORD = "horse battery staple"
NEW_EMAIL = "new@example.com"
SECRET = generate_totp_secret()


@pytest.fixture
def ada() -> User:
    """An operator with an authenticator app, so that there is a sign-in at the API and at the console."""
    user = make_person(is_staff=True)
    TOTP.activate(user, SECRET)
    return user


def signed_in(user: User) -> App:
    """Returns an app whose user signed in and has just reauthenticated."""
    browser = Client()
    browser.force_login(user)
    session = browser.session
    record = {"method": "password", "at": time.time(), "reauthenticated": True}
    session["account_authentication_methods"] = [record]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    phone = App()
    phone.token = str(session.session_key)
    UserSession.objects.create(user=user, session_key=phone.token, ip="127.0.0.1")
    return phone


# --- What can be pending: a generator that begins it, waits, and then says whether it can be finished ---


def sign_in_that_waits_for_a_factor(device: type[App]) -> Iterator[bool]:
    phone = device()
    assert phone.sign_in().pending == ["mfa_authenticate"]
    yield True
    yield phone.post("auth/2fa/authenticate", code=totp(SECRET)).status == 200 and phone.me() == 200


def sign_in_at_the_console(_: type[App]) -> Iterator[bool]:
    browser = Client()
    page = browser.post("/accounts/login/", {"login": EMAIL, "password": PASSWORD})
    assert page.headers["Location"] == "/accounts/2fa/authenticate/"
    yield True
    browser.post("/accounts/2fa/authenticate/", {"code": totp(SECRET)})
    yield browser.get("/admin/").status_code == 200


def code_for_a_new_password(device: type[App]) -> Iterator[bool]:
    phone = device()
    phone.post("auth/password/request", email=EMAIL)
    code = code_in_mail()
    yield True
    phone.post("auth/password/reset", key=code, password=NEW_PASSWORD)
    yield is_password(NEW_PASSWORD)


def code_for_a_new_password_at_the_console(_: type[App]) -> Iterator[bool]:
    browser = Client()
    browser.post("/accounts/password/reset/", {"email": EMAIL})
    code = code_in_mail()
    yield True
    browser.post("/accounts/password/reset/confirm/", {"code": code})
    new = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    browser.post("/accounts/password/reset/complete/", new)
    yield is_password(NEW_PASSWORD)


def confirmed_code_at_the_console(_: type[App]) -> Iterator[bool]:
    browser = Client()
    browser.post("/accounts/password/reset/", {"email": EMAIL})
    browser.post("/accounts/password/reset/confirm/", {"code": code_in_mail()})
    yield True
    new = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    browser.post("/accounts/password/reset/complete/", new)
    yield is_password(NEW_PASSWORD)


def code_for_another_address(_: type[App]) -> Iterator[bool]:
    phone = signed_in(User.objects.get())
    assert phone.post("account/email", email="mine@example.com").status == 200
    code = code_in_mail()
    yield True
    phone.post("auth/email/verify", key=code)
    yield User.objects.filter(email="mine@example.com").exists()


def reauthentication(_: type[App]) -> Iterator[bool]:
    phone = signed_in(User.objects.get())
    yield True
    yield phone.post("account/email", email="mine@example.com").status == 200


def enrolment_of_a_factor(_: type[App]) -> Iterator[bool]:
    Authenticator.objects.all().delete()
    phone = signed_in(User.objects.get())
    secret = phone.get("account/authenticators/totp").json["meta"]["secret"]
    TOTP.activate(User.objects.create_user("bob@example.com"), SECRET)  # nothing of another user matters
    yield True
    phone.post("account/authenticators/totp", code=totp(secret))
    yield Authenticator.objects.filter(user__email=EMAIL, type="totp").exists()


def session(_: type[App]) -> Iterator[bool]:
    phone = signed_in(User.objects.get())
    yield True
    yield phone.me() == 200


def is_password(password: str) -> bool:
    return any(user.check_password(password) for user in User.objects.all())


Thing = Callable[[type[App]], Iterator[bool]]
THINGS: list[Thing] = [
    sign_in_that_waits_for_a_factor,
    sign_in_at_the_console,
    code_for_a_new_password,
    code_for_a_new_password_at_the_console,
    confirmed_code_at_the_console,
    code_for_another_address,
    reauthentication,
    session,
]


# --- What can change ---


def new_password(user: User) -> None:
    answer = signed_in(user).post(
        "account/password/change", current_password=PASSWORD, new_password=OTHER_PASSWORD
    )
    assert answer.status == 200


def password_by_another_code(user: User) -> None:
    phone = App()
    phone.post("auth/password/request", email=EMAIL)
    assert phone.post("auth/password/reset", key=code_in_mail(), password=OTHER_PASSWORD).status == 401
    assert is_password(OTHER_PASSWORD)


def new_address(user: User) -> None:
    phone = signed_in(user)
    assert phone.post("account/email", email=NEW_EMAIL).status == 200
    assert phone.post("auth/email/verify", key=code_in_mail()).status == 200
    assert phone.me() == 200


def another_factor(user: User) -> None:
    assert signed_in(user).post("account/authenticators/recovery-codes").status == 200


def factor_removed(user: User) -> None:
    assert signed_in(user).delete("account/authenticators/totp").status == 200


def signed_out_everywhere(user: User) -> None:
    phone = signed_in(user)
    sessions = UserSession.objects.values_list("pk", flat=True)
    assert phone.delete("auth/sessions", sessions=list(sessions)).status == 401


def signed_out_everywhere_else(user: User) -> None:
    phone, _ = signed_in(user), signed_in(user)
    others = UserSession.objects.exclude(session_key=phone.token).values_list("pk", flat=True)
    assert phone.delete("auth/sessions", sessions=list(others)).status == 200
    assert phone.me() == 200


def superuser() -> Client:
    client = Client()
    root = User.objects.filter(email="root@example.com").first()
    client.force_login(root or User.objects.create_superuser("root@example.com", PASSWORD))
    return client


def change_of_account(user: User, **changes: str) -> None:
    fields = {"email": user.email, "full_name": "", "is_active": "on", "is_staff": "on"} | changes
    on = {name: value for name, value in fields.items() if value != "off"}
    assert superuser().post(f"/admin/accounts/user/{user.pk}/change/", on).status_code == 302


def password_by_a_superuser(user: User) -> None:
    fields = {"password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD, "usable_password": "true"}
    assert superuser().post(f"/admin/accounts/user/{user.pk}/password/", fields).status_code == 302
    assert is_password(OTHER_PASSWORD)


def address_by_a_superuser(user: User) -> None:
    change_of_account(user, email=NEW_EMAIL)
    assert User.objects.filter(email=NEW_EMAIL).exists()


def factor_reset_by_a_superuser(user: User) -> None:
    path = f"/admin/accounts/user/{user.pk}/reset-second-factor/"
    assert superuser().post(path, {"reason": "lost"}).status_code == 303
    assert not Authenticator.objects.filter(user=user).exists()


def other_rights(user: User) -> None:
    change_of_account(user, is_superuser="on")
    assert User.objects.get(pk=user.pk).is_superuser


def switched_off(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def switched_off_and_on_again(user: User) -> None:
    change_of_account(user, is_active="off")
    assert not User.objects.get(pk=user.pk).is_active
    change_of_account(user)
    assert User.objects.get(pk=user.pk).is_active


def erased(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=False)
    erase_account(user_id=user.pk)


CHANGES: list[Callable[[User], None]] = [
    new_password,
    password_by_another_code,
    password_by_a_superuser,
    new_address,
    address_by_a_superuser,
    another_factor,
    factor_removed,
    factor_reset_by_a_superuser,
    signed_out_everywhere,
    signed_out_everywhere_else,
    other_rights,
    switched_off,
    switched_off_and_on_again,
    erased,
]


@pytest.fixture(autouse=True)
def nothing_keeps_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "hooks_by_app", {})


# --- The table ---


def name_of(value: Any) -> str:
    return str(value.__name__)


def is_finished_after(
    thing: Thing, change: Callable[[User], None] | None, user: User, device: type[App]
) -> bool:
    steps = thing(device)
    next(steps)
    if change is not None:
        cache.clear()  # of the pause between two mails to one address
        change(user)
    return next(steps)


@pytest.mark.parametrize("change", CHANGES, ids=name_of)
@pytest.mark.parametrize("thing", THINGS, ids=name_of)
def test_what_is_pending_ends_when_the_account_changes(
    thing: Thing, change: Callable[[User], None], ada: User
) -> None:
    assert not is_finished_after(thing, change, ada, App)


@pytest.mark.parametrize("thing", [*THINGS, enrolment_of_a_factor], ids=name_of)
@pytest.mark.parametrize("device", [App, Browser])
def test_what_is_pending_can_be_finished_while_nothing_changes(
    device: type[App], thing: Thing, ada: User
) -> None:
    assert is_finished_after(thing, None, ada, device)


@pytest.mark.parametrize("thing", [sign_in_that_waits_for_a_factor, code_for_a_new_password], ids=name_of)
@pytest.mark.parametrize("change", [new_password, new_address], ids=name_of)
def test_the_same_is_true_for_the_api_with_cookies(
    change: Callable[[User], None], thing: Thing, ada: User
) -> None:
    assert not is_finished_after(thing, change, ada, Browser)


# --- The session in which the owner makes the change ---


@pytest.mark.parametrize("change", ["password", "address", "factor"])
def test_the_session_of_the_change_continues_and_its_codes_end(change: str) -> None:
    user = make_person()
    phone, tablet = signed_in(user), signed_in(user)
    secret = phone.get("account/authenticators/totp").json["meta"]["secret"]
    assert phone.post("account/email", email="mine@example.com").status == 200
    code_of_address = code_in_mail()
    if change == "password":
        phone.post("account/password/change", current_password=PASSWORD, new_password=OTHER_PASSWORD)
    elif change == "address":
        assert phone.post("auth/email/verify", key=code_of_address).status == 200
    else:
        assert phone.post("account/authenticators/totp", code=totp(secret)).status == 200
    assert (phone.me(), tablet.me()) == (200, 401)
    assert phone.post("auth/email/verify", key=code_of_address).status == 409
    enrolment = Session.objects.get(session_key=phone.token).get_decoded().get("mfa.totp.secret")
    assert enrolment is None


def test_reauthentication_is_still_true_after_the_change_for_which_it_was_given() -> None:
    phone = signed_in(make_person())
    secret = phone.get("account/authenticators/totp").json["meta"]["secret"]
    phone.post("account/authenticators/totp", code=totp(secret))
    assert phone.get("account/authenticators/recovery-codes").json["data"]["unused_codes"]


def test_ending_one_of_several_sessions_ends_no_other_and_no_code() -> None:
    user = make_person()
    phone, tablet, laptop = signed_in(user), signed_in(user), signed_in(user)
    waiting = App()
    waiting.post("auth/password/request", email=EMAIL)
    one = UserSession.objects.get(session_key=tablet.token).pk
    assert phone.delete("auth/sessions", sessions=[one]).status == 200
    assert (phone.me(), tablet.me(), laptop.me()) == (200, 401, 200)
    assert waiting.post("auth/password/reset", key=code_in_mail(), password=NEW_PASSWORD).status == 401
    assert is_password(NEW_PASSWORD)


@pytest.mark.parametrize(
    "change", [password_by_another_code, password_by_a_superuser, switched_off], ids=name_of
)
def test_a_sign_up_that_waits_for_its_code_ends(change: Callable[[User], None]) -> None:
    """A stranger signed up with the address of the owner, who then takes the account over."""
    stranger = App()
    stranger.sign_up()
    code = code_in_mail()
    cache.clear()
    change(User.objects.get())
    assert stranger.post("auth/email/verify", key=code).status == 409
    assert (stranger.get("auth/session").pending, stranger.me()) == ([], 401)


# --- The answers ---


def test_what_has_ended_is_not_shown_as_pending(ada: User) -> None:
    waiting, forgetful = App(), App()
    waiting.sign_in()
    forgetful.post("auth/password/request", email=EMAIL)
    new_password(ada)
    assert waiting.get("auth/session").pending == []
    assert forgetful.get("auth/session").pending == []
    answer = waiting.post("auth/2fa/authenticate", code=totp(SECRET))
    assert (answer.status, answer.pending) == (401, [])
    assert forgetful.post("auth/password/reset", key=code_in_mail(0), password="x").status == 409


def test_a_second_factor_that_comes_too_late_is_not_used_up(ada: User) -> None:
    waiting = App()
    waiting.sign_in()
    new_password(ada)
    code = totp(SECRET)
    waiting.post("auth/2fa/authenticate", code=code)
    phone = App()
    phone.sign_in(password=OTHER_PASSWORD)
    assert phone.post("auth/2fa/authenticate", code=code).status == 200


def test_what_began_before_the_upgrade_ends_with_it(ada: User) -> None:
    """It has no state to compare with."""
    waiting = App()
    waiting.sign_in()
    row = Session.objects.get(session_key=waiting.token)
    data = row.get_decoded()
    del data[STATES]
    row.session_data = Session.objects.encode(data)
    row.save()
    assert waiting.get("auth/session").pending == []


def test_strangers_see_the_same_pending_flow_for_an_unknown_address(ada: User) -> None:
    known, unknown = App(), App()
    known.post("auth/password/request", email=EMAIL)
    unknown.post("auth/password/request", email="nobody@example.com")
    for phone in (known, unknown):
        assert phone.get("auth/session").pending == ["password_reset_by_code"]
    assert [message.to for message in mail.outbox] == [[EMAIL], ["nobody@example.com"]]


# --- At the same instant ---


def change_once_after(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, change: Callable[[], None]
) -> None:
    """Makes the function of the module perform the change after its work, once."""
    real, changes = getattr(module, name), iter([change])

    def with_change(*args: Any, **values: Any) -> Any:
        result = real(*args, **values)
        for perform in changes:
            perform()
        return result

    monkeypatch.setattr(module, name, with_change)


def test_a_change_just_after_the_session_was_read_ends_the_sign_in(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = App()
    waiting.sign_in()
    change_once_after(monkeypatch, pending, "leave_out_outdated", lambda: new_password(ada))
    answer = waiting.post("auth/2fa/authenticate", code=totp(SECRET))
    assert (answer.status, answer.pending, waiting.me()) == (401, [], 401)


def test_a_change_just_after_the_password_was_checked_ends_the_sign_in(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_once_after(monkeypatch, operators, "verify_address", lambda: new_password(ada))
    waiting = App()
    waiting.sign_in()
    assert waiting.get("auth/session").pending == []


@pytest.mark.parametrize("change", [new_address, password_by_another_code], ids=name_of)
def test_a_change_just_after_the_session_was_read_refuses_the_new_password(
    change: Callable[[User], None], ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    thief = App()
    thief.post("auth/password/request", email=EMAIL)
    code = code_in_mail()
    cache.clear()
    change_once_after(monkeypatch, pending, "leave_out_outdated", lambda: change(ada))
    assert thief.post("auth/password/reset", key=code, password=NEW_PASSWORD).status == 409
    assert not is_password(NEW_PASSWORD)


@pytest.mark.parametrize("page", [False, True], ids=["api", "console"])
def test_a_change_while_the_new_password_is_hashed_refuses_it(
    page: bool, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    thief = Client()
    thief.post("/accounts/password/reset/", {"email": EMAIL})
    thief.post("/accounts/password/reset/confirm/", {"code": code_in_mail()})
    cache.clear()
    change_once_after(monkeypatch, pending, "has_state", lambda: new_address(ada))
    if page:
        new = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
        answer = thief.post("/accounts/password/reset/complete/", new, follow=True)
        assert "The account has changed in the meantime" in answer.content.decode()
    else:
        phone = App()
        phone.token = str(thief.session.session_key)
        assert phone.post("auth/password/reset", key=code_in_mail(0), password=NEW_PASSWORD).status == 409
    assert not is_password(NEW_PASSWORD)


# --- What a session says ---


def begun(user: User, *keys: str) -> SessionStore:
    session = SessionStore()
    for key in keys:
        session[key] = {"user_id": user.pk, "email": EMAIL}
        pending.begin(session, key, user)
    return session


def test_what_began_is_known_with_its_state_and_nothing_else(ada: User) -> None:
    session = begun(ada, pending.SIGN_IN, pending.CODE_FOR_PASSWORD)
    assert pending.has_state(session, pending.SIGN_IN, ada)
    assert pending.has_state(session, pending.CODE_FOR_PASSWORD, ada)
    assert not pending.has_state(session, pending.CODE_FOR_ADDRESS, ada)
    assert not pending.has_state(SessionStore(), pending.SIGN_IN, ada)
    assert not pending.has_state(session, pending.SIGN_IN, make_person("bola@example.com"))


def test_an_outdated_sign_in_goes_with_how_it_was_proved_and_a_code_goes_alone(ada: User) -> None:
    for key, goes in ((pending.SIGN_IN, True), (pending.CODE_FOR_PASSWORD, False)):
        data: dict[str, Any] = {**begun(ada, key), **dict.fromkeys(pending.AUTHENTICATIONS, "proof")}
        pending.leave_out_outdated(data)
        assert key in data
        User.objects.filter(pk=ada.pk).update(is_active=not ada.is_active)
        pending.leave_out_outdated(data)
        assert key not in data
        assert [name in data for name in pending.AUTHENTICATIONS] == [not goes, not goes]
        User.objects.filter(pk=ada.pk).update(is_active=ada.is_active)


def test_a_session_is_about_its_user_and_its_addresses(ada: User) -> None:
    of_ada = dict(begun(ada, pending.CODE_FOR_PASSWORD))
    assert pending.is_about(of_ada, ada.pk, set())
    assert not pending.is_about(of_ada, ada.pk + 1, set())
    assert pending.is_about(of_ada, ada.pk + 1, {"other@example.com", EMAIL})
    pretended = {pending.CODE_FOR_ADDRESS: {"email": EMAIL}}
    assert pending.is_about(pretended, ada.pk, {EMAIL})
    assert not pending.is_about(pretended, ada.pk, {"other@example.com"})
    assert not pending.is_about({pending.SIGN_IN: "odd"}, ada.pk, {EMAIL})
