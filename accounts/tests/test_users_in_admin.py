"""Tests the admin page of users: only superusers see it, and no account can be deleted."""

import html

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.erasure import erase_account
from accounts.models import User
from accounts.tests.devices import make_person

pytestmark = pytest.mark.django_db

USERS = "/admin/accounts/user/"


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root@example.com", "correct horse battery"))
    return client


def test_superuser_makes_an_operator_with_a_role(root: Client) -> None:
    fields = {
        "email": "Ada@Example.com",
        "full_name": "Ada Abara",
        "password1": "correct horse battery",
        "password2": "correct horse battery",
        "usable_password": "true",
        "is_staff": "on",
        "groups": [Group.objects.get(name="responder").pk],
    }
    response = root.post(f"{USERS}add/", fields)
    ada = User.objects.get(email="ada@example.com")
    assert response.status_code == 302
    assert ada.has_perm("observability.acknowledge_episode")
    assert ada.check_password("correct horse battery")
    assert not ada.is_superuser


def test_superuser_changes_a_name_and_switches_off(root: Client) -> None:
    ada = User.objects.create_user("ada@example.com", is_staff=True)
    assert root.get(f"{USERS}{ada.pk}/change/").status_code == 200
    root.post(f"{USERS}{ada.pk}/change/", {"email": "Ada@example.com", "full_name": "Ada Abara"})
    ada.refresh_from_db()
    assert (ada.email, ada.full_name, ada.is_active, ada.is_staff) == (
        "ada@example.com",
        "Ada Abara",
        False,
        False,
    )


def test_superuser_sets_a_new_password(root: Client) -> None:
    ada = User.objects.create_user("ada@example.com", "old password 123")
    url = f"{USERS}{ada.pk}/password/"
    assert root.get(url).status_code == 200
    fields = {"password1": "new password 123", "password2": "new password 123", "usable_password": "true"}
    assert root.post(url, fields).status_code == 302
    ada.refresh_from_db()
    assert ada.check_password("new password 123")


def test_two_accounts_never_share_an_address_whatever_its_case(root: Client) -> None:
    fields = {"email": "ROOT@example.com", "password1": "correct horse 1", "password2": "correct horse 1"}
    response = root.post(f"{USERS}add/", {**fields, "usable_password": "true"})
    assert response.status_code == 200
    assert "already exists" in response.content.decode()
    assert User.objects.count() == 1


def test_account_is_never_deleted(root: Client) -> None:
    ada = User.objects.create_user("ada@example.com")
    assert root.post(f"{USERS}{ada.pk}/delete/", {"post": "yes"}).status_code == 403
    root.post(USERS, {"action": "delete_selected", "_selected_action": [ada.pk], "post": "yes"})
    assert User.objects.filter(pk=ada.pk).exists()


@pytest.mark.parametrize("role", ["viewer", "responder"])
def test_operators_see_no_accounts(client: Client, role: str) -> None:
    operator = User.objects.create_user("ada@example.com", is_staff=True)
    operator.groups.add(Group.objects.get(name=role))
    client.force_login(operator)
    for url in (USERS, f"{USERS}add/", f"{USERS}{operator.pk}/change/", f"{USERS}{operator.pk}/password/"):
        assert client.get(url).status_code == 403, url
        assert client.post(url, {"is_superuser": "on"}).status_code == 403, url
    operator.refresh_from_db()
    assert not operator.is_superuser
    assert b"Users" not in client.get("/admin/").content


def test_list_takes_as_many_queries_for_fifty_accounts_as_for_one(root: Client) -> None:
    root.get(USERS)
    with CaptureQueriesContext(connection) as for_one:
        root.get(USERS)
    viewer = Group.objects.get(name="viewer")
    for number in range(50):
        User.objects.create_user(f"user-{number}@example.com").groups.add(viewer)
    with CaptureQueriesContext(connection) as for_fifty:
        response = root.get(USERS)
    assert len(for_fifty) == len(for_one)
    assert response.content.decode().count("viewer") >= 50


def test_operators_address_counts_as_verified_and_follows_a_change(root: Client) -> None:
    ada = User.objects.create_user("old@example.com", is_staff=True)
    EmailAddress.objects.create(user=ada, email="old@example.com", verified=True, primary=True)
    root.post(f"{USERS}{ada.pk}/change/", {"email": "new@example.com", "is_active": "on", "is_staff": "on"})
    rows = EmailAddress.objects.values_list("user", "email", "verified", "primary")
    assert list(rows) == [(ada.pk, "new@example.com", True, True)]


def test_buyer_has_to_prove_an_address_that_a_superuser_wrote(root: Client) -> None:
    buyer = User.objects.create_user("old@example.com")
    EmailAddress.objects.create(user=buyer, email="old@example.com", verified=True, primary=True)
    root.post(f"{USERS}{buyer.pk}/change/", {"email": "new@example.com", "is_active": "on"})
    assert User.objects.get(pk=buyer.pk).email == "new@example.com"
    assert not EmailAddress.objects.filter(user=buyer).exists()


def test_address_that_another_account_verified_is_refused(root: Client) -> None:
    ada = User.objects.create_user("ada@example.com")
    other = User.objects.create_user("other@example.com")
    EmailAddress.objects.create(user=other, email="shared@example.com", verified=True)
    page = root.post(f"{USERS}{ada.pk}/change/", {"email": "Shared@example.com", "is_active": "on"})
    assert "Another account has verified this address." in page.content.decode()
    assert User.objects.get(pk=ada.pk).email == "ada@example.com"


@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
def test_account_with_an_unverified_address_cannot_become_an_operator(root: Client, flag: str) -> None:
    ada = User.objects.create_user("ada@example.com", "a stranger's password")
    EmailAddress.objects.create(user=ada, email="ada@example.com", verified=False, primary=True)
    fields = {"email": "ada@example.com", "is_active": "on", flag: "on"}
    page = root.post(f"{USERS}{ada.pk}/change/", fields)
    assert "so a stranger may have chosen its password" in page.content.decode()
    assert not getattr(User.objects.get(pk=ada.pk), flag)
    assert not EmailAddress.objects.get(user=ada).verified


def test_proving_another_address_makes_no_operator_of_a_new_one(root: Client) -> None:
    ada = make_person("ada@example.com")
    root.post(f"{USERS}{ada.pk}/change/", {"email": "op@example.com", "is_active": "on", "is_staff": "on"})
    ada.refresh_from_db()
    assert (ada.email, ada.is_staff) == ("ada@example.com", False)


def test_erased_account_cannot_be_changed_from_an_open_page(root: Client) -> None:
    ada = make_person("ada@example.com", full_name="Ada Obi")
    before = erase_account(user_id=ada.pk)
    fields = {"email": "ada@example.com", "full_name": "Ada Obi", "is_active": "on"}
    assert root.post(f"{USERS}{ada.pk}/change/", fields).status_code == 403
    after = User.objects.get(pk=ada.pk)
    assert (after.email, after.full_name, after.is_active) == (before.email, "", False)


def test_sessions_of_an_account_that_was_off_do_not_come_back_with_it(root: Client) -> None:
    ada = make_person("ada@example.com")
    browser = Client()
    browser.force_login(ada)
    root.post(f"{USERS}{ada.pk}/change/", {"email": "ada@example.com"})
    root.post(f"{USERS}{ada.pk}/change/", {"email": "ada@example.com", "is_active": "on"})
    assert User.objects.get(pk=ada.pk).is_active
    assert not is_signed_in(browser)


def test_sessions_end_when_a_user_becomes_an_operator(root: Client) -> None:
    ada = make_person("ada@example.com")
    browser = Client()
    browser.force_login(ada)
    root.post(f"{USERS}{ada.pk}/change/", {"email": "ada@example.com", "is_active": "on"})
    assert is_signed_in(browser)
    fields = {"email": "ada@example.com", "is_active": "on", "is_staff": "on"}
    root.post(f"{USERS}{ada.pk}/change/", fields)
    assert not is_signed_in(browser)


def is_signed_in(browser: Client) -> bool:
    return (
        browser.get("/accounts/password/set/").headers.get("Location", "").split("?")[0] != "/accounts/login/"
    )


# --- A lost telephone ---


@pytest.fixture
def enrolled() -> User:
    ada = User.objects.create_user("ada@example.com", "correct horse battery", is_staff=True)
    Authenticator.objects.create(user=ada, type="totp", data={"secret": "A" * 32})
    Authenticator.objects.create(user=ada, type="recovery_codes", data={"seed": "seed"})
    return ada


def test_superuser_resets_a_second_factor_and_says_why(root: Client, enrolled: User) -> None:
    elsewhere = Client()
    elsewhere.force_login(enrolled)
    page = root.get(f"{USERS}{enrolled.pk}/change/").content.decode()
    assert "TOTP Authenticator" in page
    answer = root.post(f"{USERS}{enrolled.pk}/reset-second-factor/", {"reason": " lost in a taxi "})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{USERS}{enrolled.pk}/change/")
    assert not Authenticator.objects.exists()
    assert not is_signed_in(elsewhere)
    entry = LogEntry.objects.get()
    assert (entry.user.email, entry.object_id) == ("root@example.com", str(enrolled.pk))
    assert entry.change_message == "Reset the second factor: lost in a taxi"
    assert "lost in a taxi" in root.get(f"{USERS}{enrolled.pk}/change/").content.decode()


def test_reset_without_a_reason_or_by_an_operator_changes_nothing(root: Client, enrolled: User) -> None:
    url = f"{USERS}{enrolled.pk}/reset-second-factor/"
    page = root.post(url, {"reason": "  "}, follow=True).content.decode()
    assert "Say why the second factor is reset." in page
    operator = Client()
    operator.force_login(enrolled)
    assert operator.post(url, {"reason": "mine"}).status_code == 403
    assert root.get(url).status_code == 405
    assert Authenticator.objects.count() == 2
    assert is_signed_in(operator)
    assert not LogEntry.objects.exists()


def test_operator_cannot_reset_their_own_second_factor(root: Client) -> None:
    me = User.objects.get(email="root@example.com")
    Authenticator.objects.create(user=me, type="totp", data={"secret": "A" * 32})
    me.refresh_from_db()
    root.force_login(me)
    assert b"reset-second-factor" not in root.get(f"{USERS}{me.pk}/change/").content
    page = root.post(f"{USERS}{me.pk}/reset-second-factor/", {"reason": "mine"}, follow=True)
    assert "Ask another superuser to reset your own second factor." in html.unescape(page.content.decode())
    assert Authenticator.objects.count() == 1


def test_reset_of_a_missing_factor_or_account_is_refused(root: Client) -> None:
    ada = User.objects.create_user("ada@example.com", is_staff=True)
    page = root.post(f"{USERS}{ada.pk}/reset-second-factor/", {"reason": "lost"}, follow=True)
    assert "This account has no second factor." in page.content.decode()
    assert root.post(f"{USERS}999999/reset-second-factor/", {"reason": "lost"}).status_code == 404
    ada.refresh_from_db()
    assert ada.sessions_from is None
