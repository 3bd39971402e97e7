"""Tests the texts of the mails."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail

from accounts.tests.devices import App, code_in_mail, make_person

pytestmark = pytest.mark.django_db


def test_a_mail_names_amani_and_never_the_host_header(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    App(HTTP_HOST="evil.example").sign_up()
    make_person("bob@example.com")
    App(HTTP_HOST="evil.example").sign_up("bob@example.com")
    App(HTTP_HOST="evil.example").post("auth/password/request", email="nobody@example.com")
    bob = App(HTTP_HOST="evil.example", HTTP_USER_AGENT="Call +1 900 to stop this")
    bob.sign_in("bob@example.com")
    password = "correct horse battery"
    bob.post("account/password/change", current_password=password, new_password="staple battery horse")
    assert len(mail.outbox) == 4
    for message in mail.outbox:
        text = f"{message.subject}\n{message.body}"
        assert text.rstrip().endswith(f"Amani\n{settings.FRONTEND_URL}")
        assert "evil.example" not in text
        assert "+1 900" not in text


def test_the_mail_of_a_sign_up_holds_the_code_and_what_to_do() -> None:
    App().sign_up()
    assert mail.outbox[0].subject == "Your code for Amani"
    assert mail.outbox[0].body == (
        "Enter this code to confirm your e-mail address:\n\n"
        f"{code_in_mail()}\n\n"
        "It is valid for a few minutes. Amani's staff will never ask you for it.\n"
        "If you did not request it, ignore this mail.\n\n"
        "Amani\nhttp://localhost:8000"
    )
    assert not EmailAddress.objects.get().verified
