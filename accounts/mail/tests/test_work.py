"""Tests the worker: attempts, retries, leases, and which worker may record."""

from __future__ import annotations

import json
import threading
import traceback
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.mail import work
from accounts.mail.claim import claim, next_attempt
from accounts.mail.letter import Letter
from accounts.mail.tests.letters import ADA, CODE, lease_runs_out, run, send, state_of, time_passes
from accounts.mail.tests.smtp_stand_in import SmtpStandIn
from accounts.mail.transport import Outcome, hand_over
from accounts.models import Mail
from observability.telemetry.logs.formatting import Formatter
from observability.tests.samples import Change, sample
from observability.tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db


class Counted:
    """How many mails ended, and how attempts went, since this object was made."""

    def __init__(self) -> None:
        names = ("sent", "failed")
        self.ended = {name: Change("amani_mails_total", outcome=name) for name in names}
        outcomes = ("sent", "retry", "refused", "unknown")
        self.tried = {name: Change("amani_mail_attempts_total", outcome=name) for name in outcomes}

    def __call__(self) -> tuple[dict[str, float], dict[str, float]]:
        return grown(self.ended), grown(self.tried)


def grown(changes: dict[str, Change]) -> dict[str, float]:
    return {name: change() for name, change in changes.items() if change()}


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_a_mail_is_sent_once_and_its_content_is_deleted(server: SmtpStandIn, counted: Counted) -> None:
    mail = send()
    assert work.run_due() == 1
    assert state_of(mail) == ("sent", "", 1)
    assert (mail.content, mail.next_attempt_at, mail.lease_until) == (None, None, None)
    assert mail.finished_at is not None
    assert run() == 0
    assert [CODE in one.content for one in server.received] == [True]
    assert counted() == ({"sent": 1}, {"sent": 1})


def test_a_server_that_says_later_gets_the_mail_later(server: SmtpStandIn, counted: Counted) -> None:
    mail = send()
    server.answers["RCPT"].append("451 4.7.1 Try again")
    before = timezone.now()
    assert work.run_due() == 1
    assert state_of(mail) == ("waiting", "The mail server answered 451 (4.7.1) to the recipient.", 1)
    assert mail.next_attempt_at is not None
    assert mail.next_attempt_at > before
    assert mail.lease_until is None
    assert work.run_due() == 0, "its time has not come"
    assert run() == 1
    assert state_of(mail)[0] == "sent"
    assert counted() == ({"sent": 1}, {"retry": 1, "sent": 1})


def test_a_recipient_that_is_refused_is_refused_for_good_and_the_next_gets_theirs(
    server: SmtpStandIn, counted: Counted
) -> None:
    nobody, ada = send("nobody@example.com"), send()
    server.answers["RCPT"].append("550 5.1.1 <nobody@example.com>: unknown")
    assert work.run_due() == 2
    assert state_of(nobody) == ("refused", "The mail server answered 550 (5.1.1) to the recipient.", 1)
    assert nobody.content is None
    assert state_of(ada)[0] == "sent"
    assert run() == 0
    assert counted() == ({"sent": 1, "failed": 1}, {"sent": 1, "refused": 1})


def test_a_code_that_has_run_out_is_not_sent_although_the_server_works_again(
    server: SmtpStandIn, counted: Counted
) -> None:
    tried, never_tried = send(), send()
    server.answers["GREETING"].append("421 4.3.0 Not now")
    assert work.run_due() == 1
    for mail in (tried, never_tried):
        time_passes(mail, 900)
    assert run() == 0
    assert state_of(tried) == (
        "given_up",
        "Given up: The mail server answered 421 (4.3.0) to the greeting.",
        1,
    )
    assert state_of(never_tried) == ("given_up", "Given up: not tried in time.", 0)
    assert (tried.content, never_tried.content, server.received) == (None, None, [])
    assert counted() == ({"failed": 2}, {"retry": 1})


def test_a_mail_is_given_up_at_once_when_the_next_attempt_would_come_too_late(
    server: SmtpStandIn, counted: Counted
) -> None:
    mail = send()
    time_passes(mail, 899)
    server.answers["RCPT"].append("451 Later")
    assert run() == 1
    assert state_of(mail) == ("given_up", "Given up: The mail server answered 451 to the recipient.", 1)
    assert mail.content is None
    assert counted() == ({"failed": 1}, {"retry": 1})


def test_a_notice_waits_for_a_day(server: SmtpStandIn) -> None:
    notice = send(kind="password_changed", lifetime=24 * 3600)
    time_passes(notice, 23 * 3600)
    assert run() == 1
    assert state_of(notice)[0] == "sent"


def test_waits_grow_with_the_age() -> None:
    now = timezone.now()
    for age, shortest, longest in ((0, 3.75, 5), (60, 11.25, 15), (3600, 675, 900), (80_000, 675, 900)):
        mail = Mail(created_at=now, expires_at=now)
        mail.created_at -= timedelta(seconds=age)
        mail.expires_at += timedelta(days=1)
        moment = next_attempt(mail, now)
        assert moment is not None
        assert shortest <= (moment - now).total_seconds() <= longest


def test_a_server_that_hangs_is_tried_with_one_mail_only_and_the_others_stay_due(
    server: SmtpStandIn, settings: Any
) -> None:
    mails = [send() for _ in range(5)]
    settings.EMAIL_TIMEOUT = 0.3
    server.hang()
    assert work.run_due() == 1
    assert state_of(mails[0]) == ("waiting", "The mail server took longer than 0.3 s.", 1)
    assert [state_of(mail) for mail in mails[1:]] == [("waiting", "", 0)] * 4
    server.works()
    assert run() == 5
    assert len(server.received) == 5


# --- Leases ---


def test_while_one_worker_sends_the_others_are_left_to_the_alerts(server: SmtpStandIn) -> None:
    send()
    send()
    assert claim() is not None
    assert claim() is None


def test_a_worker_that_dies_while_it_sends_is_followed_by_another_and_that_is_counted(
    server: SmtpStandIn, monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    mail = send()
    with monkeypatch.context() as dying:
        dying.setattr(work, "record", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            work.run_due()
    assert run() == 0, "its lease still holds"
    assert state_of(mail) == ("waiting", "", 1)
    lease_runs_out(mail)
    assert run() == 1
    assert state_of(mail) == ("sent", "", 2)
    assert counted() == ({"sent": 1}, {"unknown": 1, "sent": 1})
    ids = {line for one in server.received for line in one.content.split("\n") if "Message-ID" in line}
    assert (len(server.received), len(ids)) == (2, 1), "both say that they are the same mail"


def test_a_worker_that_lost_its_lease_writes_nothing_down(server: SmtpStandIn, counted: Counted) -> None:
    mail = send()
    slow = claim()
    assert slow is not None
    lease_runs_out(mail)
    assert run() == 1
    server.answers["RCPT"].append("550 No")
    work.attempt(slow)
    assert state_of(mail) == ("sent", "", 2)
    assert counted()[0] == {"sent": 1}


@pytest.mark.django_db(transaction=True)
def test_many_workers_send_each_mail_once(server: SmtpStandIn) -> None:
    mails = [send(f"{number}@example.com") for number in range(12)]
    barrier = threading.Barrier(4)

    def worker() -> None:
        barrier.wait()
        while Mail.objects.filter(state="waiting").exists():
            work.run_due()
        connection.close()

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert {state_of(mail) for mail in mails} == {("sent", "", 1)}
    assert sorted(one.recipients[0] for one in server.received) == sorted(
        f"{number}@example.com" for number in range(12)
    )


# --- What is not the server's fault ---


def test_a_mail_that_no_key_opens_does_not_stop_the_others(server: SmtpStandIn) -> None:
    broken, fine = send(), send()
    Mail.objects.filter(pk=broken.pk).update(content=b"of another key")
    assert work.run_due() == 2
    assert state_of(broken) == ("waiting", "No key of ENCRYPTION_KEYS opens the mail.", 1)
    assert state_of(fine)[0] == "sent"


def test_an_error_of_ours_is_reported_without_what_it_says_and_the_next_mail_goes_on(
    server: SmtpStandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = send("broken@example.com"), send()
    reported: list[BaseException] = []

    def hand_over_or_fail(letter: Letter) -> Outcome:
        if letter.recipient.startswith("broken"):
            raise ValueError(letter.recipient)
        return hand_over(letter)

    monkeypatch.setattr(work, "hand_over", hand_over_or_fail)
    monkeypatch.setattr(work, "capture_exception", lambda problem, context: reported.append(problem))
    assert run() == 2
    assert state_of(broken) == ("waiting", "Internal error: ValueError.", 1)
    assert state_of(fine)[0] == "sent"
    (problem,) = reported
    assert repr(problem) == "MailNotTried('ValueError')"
    assert (problem.__cause__, problem.__context__) == (None, None)
    assert "hand_over_or_fail" in "".join(traceback.format_tb(problem.__traceback__))
    assert "broken@example.com" not in logged(caplog)


# --- What is said of it ---


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(Formatter("json").format(record) for record in caplog.records)


def test_neither_code_nor_address_is_logged_whatever_the_server_says(
    server: SmtpStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    mail = send()
    for answer in (f"451 4.7.1 <{ADA}> {CODE}", f"550 5.1.1 <{ADA}> {CODE}"):
        server.answers["RCPT"].append(answer)
        run()
    text = logged(caplog)
    lines = [json.loads(line) for line in text.splitlines()]
    not_sent = [line for line in lines if line["event"] == "mail_not_sent"]
    assert [(line["mail_id"], line["kind"], line["state"]) for line in not_sent] == [
        (mail.pk, "password_reset_code", "waiting"),
        (mail.pk, "password_reset_code", "refused"),
    ]
    assert not_sent[1]["reason"] == "The mail server answered 550 (5.1.1) to the recipient."
    assert [secret for secret in (CODE, ADA) if secret in text] == []


def test_the_snapshot_says_how_many_wait_and_since_when(server: SmtpStandIn) -> None:
    first = send()
    send()
    time_passes(first, 100)
    work.take_snapshot()
    assert sample("amani_mails_waiting") == 2
    assert 100 <= sample("amani_mails_oldest_seconds") < 160
    assert sample("amani_mails_snapshot_timestamp_seconds") >= first.created_at.timestamp()
    run()
    work.take_snapshot()
    assert (sample("amani_mails_waiting"), sample("amani_mails_oldest_seconds")) == (0, 0)
