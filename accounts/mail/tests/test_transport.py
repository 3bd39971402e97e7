"""Tests sending over plain SMTP, STARTTLS and TLS, and the interpretation of responses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.mail import transport
from accounts.mail.letter import Letter
from accounts.mail.tests.conftest import use
from accounts.mail.tests.smtp_stand_in import PASSWORD, USER, Encryption, SmtpStandIn
from accounts.mail.transport import ServerUnavailable, hand_over
from core.outcomes import Delivered, Rejected, RetryLater
from observability.tests.waiting import PATIENCE_SECONDS

LETTER = Letter("Amani <no-reply@amani.example>", "ada@example.com", b"Subject: Hello\r\n\r\n.Code\r\n")
Start = Callable[..., SmtpStandIn]


@pytest.fixture
def start(settings: Any, certificate: Path) -> Iterator[Start]:
    """`start("implicit", login=True)` is a mail server, and Amani is set up for it."""
    running: list[SmtpStandIn] = []

    def start(encryption: Encryption = "none", *, login: bool = False) -> SmtpStandIn:
        server = SmtpStandIn(encryption, certificate)
        running.append(server)
        server.wants_login = login
        user = {"EMAIL_HOST_USER": USER, "EMAIL_HOST_PASSWORD": PASSWORD} if login else {}
        use(settings, server, EMAIL_TIMEOUT=20.0, **user)
        return server

    yield start
    for server in running:
        server.close()


# --- Encryption ---


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("encryption", ["implicit", "starttls"])
def test_a_mail_is_handed_over_with_tls_and_the_login_goes_through_it(
    encryption: Encryption, start: Start
) -> None:
    server = start(encryption, login=True)
    assert hand_over(LETTER) == Delivered()
    (mail,) = server.received
    assert (mail.encrypted, mail.user) == (True, USER)
    assert (mail.sender, mail.recipients) == ("no-reply@amani.example", ["ada@example.com"])
    assert mail.content == "Subject: Hello\n\n.Code"


def test_a_mail_is_handed_over_in_clear_to_a_relay_without_login(start: Start) -> None:
    server = start()
    assert hand_over(LETTER) == Delivered()
    assert [(mail.encrypted, mail.user) for mail in server.received] == [(False, "")]


@pytest.mark.parametrize("encryption", ["implicit", "starttls"])
def test_an_untrusted_certificate_gets_neither_password_nor_mail(
    encryption: Encryption, start: Start
) -> None:
    server = start(encryption, login=True)
    assert hand_over(LETTER) == ServerUnavailable(
        None, "The mail server's certificate is not trusted: self-signed certificate."
    )
    assert server.received == []


def test_a_server_without_starttls_gets_no_mail_in_clear(start: Start, settings: Any) -> None:
    server = start("none")
    settings.EMAIL_USE_TLS = True
    assert hand_over(LETTER) == ServerUnavailable(
        None, "The mail server offers no STARTTLS, or no login that Amani supports."
    )
    assert server.received == []


def test_implicit_tls_with_a_server_that_begins_in_clear_says_so(start: Start, settings: Any) -> None:
    start("starttls")
    settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL = False, True
    outcome = hand_over(LETTER)
    assert isinstance(outcome, ServerUnavailable)
    assert outcome.reason.startswith("No TLS with the mail server: ")


# --- What answers mean ---

SAID = "The mail server answered"


@pytest.mark.parametrize(
    ("command", "answer", "outcome"),
    [
        (
            "RCPT",
            "550 5.1.1 <ada@example.com>?",
            Rejected(f"{SAID} 550 (5.1.1) to the recipient."),
        ),
        ("RCPT", "553 ada@example.com?", Rejected(f"{SAID} 553 to the recipient.")),
        ("CONTENT", "554 5.7.1 Spam", Rejected(f"{SAID} 554 (5.7.1) to the content.")),
        (
            "RCPT",
            "451 4.7.1 Grey",
            RetryLater(None, f"{SAID} 451 (4.7.1) to the recipient."),
        ),
        ("CONTENT", "452 Full", RetryLater(None, f"{SAID} 452 to the content.")),
        ("RCPT", "421 4.3.2 Closing", ServerUnavailable(None, f"{SAID} 421 (4.3.2) to the recipient.")),
        ("MAIL", "553 5.7.1 Not your address", ServerUnavailable(None, f"{SAID} 553 (5.7.1) to the sender.")),
        ("GREETING", "554 5.7.1 Blocked", ServerUnavailable(None, f"{SAID} 554 (5.7.1) to the greeting.")),
    ],
)
def test_only_what_is_said_of_recipient_or_content_is_final(
    command: str, answer: str, outcome: transport.Outcome, start: Start
) -> None:
    server = start()
    server.answers[command].append(answer)
    assert hand_over(LETTER) == outcome
    assert server.received == []


def test_a_wrong_password_is_mended_by_an_operator_so_it_is_tried_again(start: Start, settings: Any) -> None:
    start(login=True)
    settings.EMAIL_HOST_PASSWORD = "wrong"
    assert hand_over(LETTER) == ServerUnavailable(None, "The mail server answered 535 (5.7.8) to the login.")


def test_a_server_that_is_away_is_tried_again(settings: Any, free_port: Callable[[], int]) -> None:
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    assert hand_over(LETTER) == ServerUnavailable(
        None, "The mail server can't be reached: ConnectionRefusedError."
    )


def test_a_server_that_takes_the_mail_and_then_fails_to_say_goodbye_has_it(start: Start) -> None:
    server = start()
    server.answers["QUIT"].append("421 4.3.0 Sorry")
    assert hand_over(LETTER) == Delivered()
    assert len(server.received) == 1


# --- A server that hangs ---


@pytest.mark.parametrize("where", ["greeting", "trickle", "content"])
def test_an_attempt_ends_although_the_server_still_hangs(where: Any, start: Start, settings: Any) -> None:
    server = start()
    settings.EMAIL_TIMEOUT = 0.5
    server.hang(where)
    assert hand_over(LETTER) == ServerUnavailable(None, "The mail server took longer than 0.5 s.")
    assert not server.released.is_set()


@pytest.mark.parametrize("where", ["greeting", "content"])
def test_the_timeout_of_the_socket_is_reported_as_one_when_it_comes_before_the_deadline(
    where: Any, start: Start, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport.Deadline, "_watch", lambda _deadline: None)
    server = start()
    settings.EMAIL_TIMEOUT = 0.5
    server.hang(where)
    assert hand_over(LETTER) == ServerUnavailable(None, "The mail server took longer than 0.5 s.")


@pytest.mark.usefixtures("trusted")
def test_an_attempt_ends_although_the_server_never_answers_behind_tls(start: Start, settings: Any) -> None:
    server = start("implicit")
    settings.EMAIL_TIMEOUT = 2.0
    server.hang("content")
    assert hand_over(LETTER) == ServerUnavailable(None, "The mail server took longer than 2 s.")
    assert not server.released.is_set()


def test_nothing_watches_an_attempt_that_is_over(start: Start) -> None:
    start()
    assert hand_over(LETTER) == Delivered()
    for thread in threading.enumerate():
        if thread.name == "mail-deadline":
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
