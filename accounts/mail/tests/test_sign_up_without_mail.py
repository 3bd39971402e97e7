"""Tests sign-up while the mail server hangs: no request waits, and responses do not differ."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.cache import cache

from accounts.mail.tests.letters import run, state_of
from accounts.mail.tests.smtp_stand_in import SmtpStandIn
from accounts.models import Mail, User
from accounts.tests.devices import CODE, EMAIL, App, make_person

pytestmark = pytest.mark.django_db


def codes_in(server: SmtpStandIn) -> list[str]:
    return [found[0] for one in server.received for found in [re.search(CODE, one.content)] if found]


def test_who_signs_up_while_the_mail_server_hangs_is_answered_and_gets_the_code_later(
    server: SmtpStandIn,
) -> None:
    server.hang()
    ada = App()
    assert ada.sign_up().pending == ["verify_email"]
    assert not server.connected.acquire(blocking=False), "the request asked no mail server"
    mail = Mail.objects.get()
    assert (mail.kind, mail.person) == ("email_confirmation_signup", User.objects.get(email=EMAIL))

    server.works()
    assert run() == 1
    (code,) = codes_in(server)
    assert ada.post("auth/email/verify", key=code).status == 200
    assert ada.me() == 200


def test_who_forgot_the_password_while_the_mail_server_hangs_gets_the_code_later(server: SmtpStandIn) -> None:
    make_person()
    server.hang()
    ada = App()
    assert ada.post("auth/password/request", email=EMAIL).pending == ["password_reset_by_code"]
    assert not server.connected.acquire(blocking=False)

    server.works()
    assert run() == 1
    (code,) = codes_in(server)
    assert ada.post("auth/password/reset", key=code, password="staple battery horse").status == 401
    assert ada.sign_in(password="staple battery horse").status == 200


def test_who_asks_for_another_code_meanwhile_signs_in_with_one_that_arrives(
    server: SmtpStandIn, settings: Any
) -> None:
    settings.EMAIL_TIMEOUT = 0.3
    server.hang()
    ada = App()
    ada.sign_up()
    assert run() == 1
    assert state_of(Mail.objects.get())[0] == "waiting"
    cache.clear()  # ten seconds later
    assert ada.post("auth/email/verify/resend").status == 200

    server.works()
    assert run() == 2
    assert len(set(codes_in(server))) <= 2
    assert ada.post("auth/email/verify", key=codes_in(server)[-1]).status == 200


@pytest.mark.parametrize("path", ["auth/signup", "auth/password/request"])
def test_a_known_and_an_unknown_address_cost_one_row_and_get_one_answer(
    path: str, server: SmtpStandIn
) -> None:
    make_person()
    server.hang()
    addresses = (EMAIL, "bob@example.com")
    answers = [App().post(path, email=one, password="correct horse battery") for one in addresses]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].json["data"] == answers[1].json["data"]
    rows = list(Mail.objects.order_by("pk"))
    assert [(row.domain, row.state, row.attempt_count) for row in rows] == [("example.com", "waiting", 0)] * 2
    assert not server.connected.acquire(blocking=False)


def test_a_code_is_kept_for_as_long_as_it_is_valid_and_a_notice_for_a_day(server: SmtpStandIn) -> None:
    ada = App()
    ada.sign_up()
    run()
    ada.post("auth/email/verify", key=codes_in(server)[0])
    password = "correct horse battery"
    ada.post("account/password/change", current_password=password, new_password="staple battery horse")
    App().post("auth/password/request", email=EMAIL)
    lifetimes = {row.kind: (row.expires_at - row.created_at).total_seconds() for row in Mail.objects.all()}
    assert lifetimes == {
        "email_confirmation_signup": 900,
        "password_changed": 86_400,
        "password_reset_code": 900,
    }
