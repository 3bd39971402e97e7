"""Superusers make operators; nobody else sees accounts; nobody deletes one."""

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User

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


def test_operator_signs_in_with_the_email_address(client: Client) -> None:
    User.objects.create_user("ada@example.com", "correct horse battery", is_staff=True)
    page = client.get("/admin/login/").content.decode()
    assert "E-mail address" in page
    fields = {"username": "Ada@Example.com ", "password": "correct horse battery", "next": "/admin/"}
    response = client.post("/admin/login/", fields)
    assert (response.status_code, response.headers["Location"]) == (302, "/admin/")


def test_wrong_password_and_buyers_are_kept_out(client: Client) -> None:
    User.objects.create_user("buyer@example.com", "correct horse battery")
    for password in ("wrong", "correct horse battery"):
        response = client.post("/admin/login/", {"username": "buyer@example.com", "password": password})
        assert response.status_code == 200
        assert "_auth_user_id" not in client.session
