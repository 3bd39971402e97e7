"""Sends one mail to the mail server and interprets the response. Does not use the database.

Responses of mail servers quote the recipient's address, so only their codes are kept.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from django.core.mail.message import sanitize_address

from accounts.mail.letter import Letter
from core.outcomes import Delivered, Rejected, RetryLater

ENHANCED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?= |$)")  # RFC 3463
SERVICE_NOT_AVAILABLE = 421  # RFC 5321, 3.8: the server closes the connection
PERMANENT = 500


@dataclass(frozen=True, slots=True)
class ServerUnavailable(RetryLater):
    """The server is not available, so any other mail would fail in the same way now."""


Outcome = Delivered | RetryLater | Rejected


def hand_over(letter: Letter) -> Outcome:
    """Sends the mail within EMAIL_TIMEOUT seconds in total and returns the outcome.

    Raises no errors that a mail server can cause.
    """
    seconds = settings.EMAIL_TIMEOUT
    with Deadline(seconds) as deadline:
        try:
            with connected(deadline) as server:
                log_in(server)
                server.sendmail(envelope(letter.sender), [envelope(letter.recipient)], letter.content)
        except OSError as problem:  # includes smtplib's errors
            if deadline.has_passed or is_timeout(problem):
                return ServerUnavailable(None, f"The mail server took longer than {seconds:g} s.")
            return meaning_of(problem)
    return Delivered()


# --- Connecting ---


class Deadline:
    """Closes the connection after `seconds`; a socket's own timeout restarts with each received byte."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.server: smtplib.SMTP | None = None
        self.has_passed = False
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="mail-deadline", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()

    def _watch(self) -> None:
        if self._is_over.wait(self.seconds):
            return
        self.has_passed = True
        while not self._is_over.wait(0.1):  # repeats, because there may be no connection yet
            if self.server is not None and self.server.sock is not None:
                with suppress(OSError):
                    socket.socket.shutdown(self.server.sock, socket.SHUT_RDWR)  # bypasses TLS, which may hang


class Server(smtplib.SMTP):
    """A connection that its deadline can close from the first byte on."""

    def __init__(self, deadline: Deadline, **options: Any) -> None:
        deadline.server = self
        super().__init__(settings.EMAIL_HOST, settings.EMAIL_PORT, timeout=deadline.seconds, **options)


class TlsServer(Server, smtplib.SMTP_SSL):
    """Like Server, with TLS from the first byte on."""


@contextmanager
def connected(deadline: Deadline) -> Iterator[smtplib.SMTP]:
    """Opens a connection, encrypted as set. Ignores errors of QUIT, because the mail is sent by then."""
    server = open_connection(deadline)
    try:
        yield server
        with suppress(OSError):
            server.quit()
    finally:
        server.close()


def open_connection(deadline: Deadline) -> smtplib.SMTP:
    if settings.EMAIL_USE_SSL:
        return TlsServer(deadline, context=ssl.create_default_context())
    server = Server(deadline)
    if settings.EMAIL_USE_TLS:
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def log_in(server: smtplib.SMTP) -> None:
    if settings.EMAIL_HOST_USER:
        server.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)


def envelope(address: str) -> str:
    """Returns the address for SMTP, with a non-ASCII domain in its ASCII form."""
    return sanitize_address(address, "utf-8")


# --- Interpreting errors ---


def is_timeout(problem: OSError) -> bool:
    """Returns whether the socket's own timeout ended it, which smtplib reports as a lost connection."""
    return isinstance(problem, TimeoutError) or isinstance(problem.__context__, TimeoutError)


def meaning_of(problem: OSError) -> Outcome:
    """Returns the outcome for an error other than a timeout.

    Only responses about the recipient or the content can be permanent.
    """
    match problem:
        case smtplib.SMTPRecipientsRefused():
            code, text = next(iter(problem.recipients.values()))
            return answered(code, text, "to the recipient")
        case smtplib.SMTPDataError():
            return answered(problem.smtp_code, problem.smtp_error, "to the content")
        case smtplib.SMTPResponseException():
            return ServerUnavailable(None, words(problem.smtp_code, problem.smtp_error, step_of(problem)))
        case smtplib.SMTPServerDisconnected():
            return ServerUnavailable(None, "The mail server closed the connection.")
        case smtplib.SMTPNotSupportedError():
            return ServerUnavailable(
                None, "The mail server offers no STARTTLS, or no login that Amani supports."
            )
        case ssl.SSLCertVerificationError():
            return ServerUnavailable(
                None, f"The mail server's certificate is not trusted: {problem.verify_message}."
            )
        case ssl.SSLError():
            return ServerUnavailable(None, f"No TLS with the mail server: {problem.reason or 'SSLError'}.")
        case _:
            return ServerUnavailable(None, f"The mail server can't be reached: {type(problem).__name__}.")


def step_of(problem: smtplib.SMTPResponseException) -> str:
    match problem:
        case smtplib.SMTPAuthenticationError():
            return "to the login"
        case smtplib.SMTPSenderRefused():
            return "to the sender"
        case _:
            return "to the greeting"


def answered(code: int, text: bytes | str, step: str) -> Outcome:
    if code >= PERMANENT:
        return Rejected(words(code, text, step))
    unavailable = code == SERVICE_NOT_AVAILABLE
    return (ServerUnavailable if unavailable else RetryLater)(None, words(code, text, step))


def words(code: int, text: bytes | str, step: str) -> str:
    """Returns a reason such as `The mail server answered 550 (5.1.1) to the recipient.`"""
    response = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    enhanced = ENHANCED_CODE.match(response)
    return f"The mail server answered {code}{f' ({enhanced[0]})' if enhanced else ''} {step}."
