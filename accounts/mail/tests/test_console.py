"""Tests that the admin shows the state of mails, but neither recipient nor content."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.mail.tests.letters import ADA, CODE, run, send
from accounts.mail.tests.smtp_stand_in import SmtpStandIn
from accounts.models import Mail, User

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/mail/"


@pytest.fixture
def viewer(client: Client, settings: Any) -> Client:
    settings.STAFF_MFA_REQUIRED = False
    user = User.objects.create_user("viewer@example.org", is_staff=True)
    user.groups.add(Group.objects.get(name="viewer"))
    client.force_login(user)
    return client


def test_a_viewer_sees_why_a_mail_was_not_sent_and_no_address(viewer: Client, server: SmtpStandIn) -> None:
    mail = send()
    server.answers["RCPT"].append(f"550 5.1.1 <{ADA}> is nobody")
    run()
    waiting = send()
    for address in (LIST, f"{LIST}{mail.pk}/change/"):
        page = viewer.get(address).content.decode()
        for shown in ("Refused", "password_reset_code", "example.com", "550 (5.1.1)"):
            assert shown in page, address
    assert "Next attempt" in viewer.get(f"{LIST}{waiting.pk}/change/").content.decode()
    for address in (LIST, f"{LIST}{mail.pk}/change/", f"{LIST}{waiting.pk}/change/"):
        page = viewer.get(address).content.decode()
        assert [secret for secret in (ADA, CODE, mail.address_hash) if secret in page] == []


def test_the_list_asks_as_much_for_fifty_mails_as_for_one(
    viewer: Client, server: SmtpStandIn, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    send()
    viewer.get(LIST)
    with django_assert_num_queries(8) as one:
        viewer.get(LIST)
    for _ in range(49):
        send()
    with django_assert_num_queries(len(one)):
        viewer.get(LIST)
    about_mails = [query["sql"] for query in one.captured_queries if "accounts_mail" in query["sql"]]
    assert [statement for statement in about_mails if "content" in statement] == []
    assert Mail.objects.count() == 50
