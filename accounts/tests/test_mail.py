"""Mails to people: what they say, and that a broken mail server costs nobody an account."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache

from accounts.models import User
from accounts.tests.devices import EMAIL, App, code_in_mail, make_person
from observability.logging import Formatter
from observability.tests.samples import Change

pytestmark = pytest.mark.django_db


@pytest.fixture
def mail_server_is_down(settings: Any, free_port: Callable[[], int]) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()


@pytest.mark.usefixtures("mail_server_is_down")
def test_who_signs_up_while_mail_is_down_has_an_account_and_asks_again(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sent, failed = (Change("amani_mails_total", outcome=outcome) for outcome in ("sent", "failed"))
    ada = App()
    assert ada.sign_up().pending == ["verify_email"]
    assert User.objects.get().email == EMAIL
    assert (sent(), failed()) == (0, 1)
    line = next(record for record in caplog.records if record.name == "accounts.mail")
    told = json.loads(Formatter("json").format(line))
    assert (told["event"], told["kind"]) == ("mail_not_sent", "email_confirmation_signup")
    assert EMAIL not in str(told)

    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    cache.clear()  # ten seconds later
    assert ada.post("auth/email/verify/resend").status == 200
    assert ada.post("auth/email/verify", key=code_in_mail()).status == 200
    assert (ada.me(), sent(), failed()) == (200, 1, 1)


@pytest.mark.usefixtures("mail_server_is_down")
def test_while_mail_is_down_strangers_still_cannot_tell_who_has_an_account() -> None:
    make_person()
    answers = [App().post("auth/password/request", email=one) for one in (EMAIL, "bob@example.com")]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].json["data"] == answers[1].json["data"]


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
        "It is valid for a few minutes. Nobody at Amani will ever ask you for it.\n"
        "If you did not ask for it, ignore this mail.\n\n"
        "Amani\nhttp://localhost:8000"
    )
    assert not EmailAddress.objects.get().verified
