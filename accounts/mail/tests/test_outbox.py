"""Tests that mails are stored in the transaction, encrypted, and deleted with the account."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.mail import EmailMultiAlternatives, send_mail
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts import erasure
from accounts.export import export_account
from accounts.mail import outbox
from accounts.mail.claim import claim
from accounts.mail.letter import open_letter
from accounts.mail.tests.letters import ADA, CODE, send
from accounts.mail.tests.smtp_stand_in import SmtpStandIn
from accounts.mail.work import attempt, run_due
from accounts.models import Mail, User
from accounts.tests.devices import make_person
from core.encryption import is_current
from core.request_id import request_id

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("outbox")]

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


# --- Storing ---


def test_a_mail_is_stored_with_the_callers_transaction_and_a_worker_is_woken_after_it(
    rings: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        request_id.set("request-0123456789")
        mail = send()
        assert rings == []
    assert rings == ["rung"]
    assert (mail.kind, mail.domain, mail.state) == ("password_reset_code", "example.com", "waiting")
    assert (mail.attempt_count, mail.lease_until, mail.request_id) == (0, None, "request-0123456789")
    assert mail.expires_at - mail.created_at == timedelta(seconds=900)


@transaction.atomic
def sign_up_and_fail() -> None:
    User.objects.create_user(ADA)
    send()
    assert Mail.objects.count() == 1
    raise ZeroDivisionError


@pytest.mark.django_db(transaction=True)
def test_a_mail_of_what_was_rolled_back_is_never_sent(server: SmtpStandIn, rings: list[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        sign_up_and_fail()
    assert (User.objects.count(), Mail.objects.count(), rings) == (0, 0, [])
    assert run_due() == 0
    assert server.received == []


def test_neither_code_nor_address_is_in_the_database_in_clear() -> None:
    mail = send("Ada Obi <ada@example.com>")
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts_mail::text, encode(content, 'escape') FROM accounts_mail")
        (stored,) = cursor.fetchall()
    text = " ".join(stored)
    assert [secret for secret in (CODE, "Your code", "ada@", "Obi") if secret in text] == []
    letter = open_letter(bytes(mail.content or b""))
    assert (letter.recipient, CODE.encode() in letter.content) == ("Ada Obi <ada@example.com>", True)
    assert CODE not in repr(letter)
    assert ADA not in repr(letter)


def test_each_recipient_has_a_row_and_only_the_bcc_is_not_named(server: SmtpStandIn) -> None:
    send("ada@example.com", "bob@example.org", cc=["eve@example.net"], bcc=["secret@example.com"])
    assert list(Mail.objects.order_by("pk").values_list("domain", flat=True)) == [
        "example.com",
        "example.org",
        "example.net",
        "example.com",
    ]
    assert run_due() == 4
    assert sorted(mail.recipients[0] for mail in server.received) == [
        "ada@example.com",
        "bob@example.org",
        "eve@example.net",
        "secret@example.com",
    ]
    assert [mail for mail in server.received if "secret@" in mail.content] == []


def test_a_mail_of_djangos_own_functions_is_stored_too_for_as_long_as_a_notice(settings: Any) -> None:
    assert send_mail("Hello", "Text", None, [ADA]) == 1
    (mail,) = Mail.objects.all()
    assert mail.kind == "other"
    assert mail.expires_at - mail.created_at == timedelta(seconds=settings.EMAIL_GIVE_UP_AFTER_SECONDS)


def test_a_mail_with_html_and_letters_of_all_kinds_arrives_as_it_was_written(server: SmtpStandIn) -> None:
    message = EmailMultiAlternatives("Àdá, kú àárọ̀", "Zażółć", to=[ADA])
    message.attach_alternative("<p>Zażółć</p>", "text/html")
    message.send()
    assert run_due() == 1
    (mail,) = server.received
    assert "Zażółć" in mail.content
    assert "<p>Zażółć</p>" in mail.content
    assert "Subject: =?utf-8?" in mail.content


def test_the_message_id_names_the_senders_domain_and_not_this_machine() -> None:
    letter = open_letter(bytes(send().content or b""))
    (line,) = [line for line in letter.content.split(b"\r\n") if line.startswith(b"Message-ID:")]
    assert line.endswith(b"@amani.example>")


def test_the_database_keeps_the_content_of_no_mail_that_has_ended() -> None:
    mail = send()
    ended = {"state": "sent", "next_attempt_at": None, "finished_at": timezone.now()}
    for change in (ended, {"content": None}):
        with pytest.raises(IntegrityError, match="a_mail_has_its_content"), transaction.atomic():
            Mail.objects.filter(pk=mail.pk).update(**change)


# --- Leaving ---


def test_erasure_deletes_waiting_mails_and_all_rows(server: SmtpStandIn, settings: Any) -> None:
    ada, bob = make_person(ADA), make_person("bob@example.com")
    send("Ada@Example.com")  # the same address, as another client wrote it
    about_ada = send("new-address@example.com")
    Mail.objects.filter(pk=about_ada.pk).update(person=ada)
    kept = send("bob@example.com")
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another-key-" + "0" * 40

    erasure.erase_account(user_id=ada.pk)

    assert list(Mail.objects.values_list("pk", flat=True)) == [kept.pk]
    run_due()
    assert [mail.recipients for mail in server.received] == [[bob.email]]


def test_export_contains_the_persons_own_mails_only() -> None:
    ada = make_person(ADA)
    send("bob@example.com")
    mail = send(ADA)
    assert export_account(ada)["parts"]["mails"] == [
        {
            "kind": "password_reset_code",
            "domain": "example.com",
            "state": "waiting",
            "created_at": mail.created_at,
            "finished_at": None,
        }
    ]


def test_a_mail_that_is_deleted_while_it_is_sent_leaves_no_row(server: SmtpStandIn) -> None:
    mail = send()
    claimed = claim()
    assert claimed is not None
    Mail.objects.filter(pk=mail.pk).delete()
    attempt(claimed)
    assert not Mail.objects.exists()


def test_mails_that_ended_are_forgotten_after_a_while_and_those_that_wait_are_not(settings: Any) -> None:
    settings.EMAIL_HISTORY_DAYS = 30
    ended, waiting = send(), send()
    end = {"state": "sent", "content": None, "next_attempt_at": None}
    Mail.objects.filter(pk=ended.pk).update(finished_at=timezone.now() - timedelta(days=29), **end)
    assert outbox.forget_old() == 0
    Mail.objects.filter(pk=ended.pk).update(finished_at=timezone.now() - timedelta(days=31))
    Mail.objects.filter(pk=waiting.pk).update(created_at=timezone.now() - timedelta(days=31))
    assert outbox.forget_old() == 1
    assert list(Mail.objects.all()) == [waiting]


# --- A new key ---


def test_a_new_key_encrypts_the_mails_that_wait_and_they_are_sent_with_it(
    server: SmtpStandIn, settings: Any
) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    mail = send()
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    out = StringIO()
    call_command("rotate_encryption_keys", stdout=out, stderr=StringIO())
    assert "0 files, 1 mails, " in out.getvalue()
    mail.refresh_from_db()
    assert is_current(bytes(mail.content or b""))
    assert outbox.rotate_content(mail) is False
    settings.ENCRYPTION_KEYS = [NEW]
    assert run_due() == 1
    assert CODE in server.received[0].content


def test_a_mail_that_is_sent_while_keys_rotate_stays_without_content(
    server: SmtpStandIn, settings: Any
) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    send()
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    (read_before,) = outbox.with_content()
    run_due()
    assert outbox.rotate_content(read_before) is False
    assert Mail.objects.get().content is None
