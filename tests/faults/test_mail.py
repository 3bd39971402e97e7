"""The mail server hangs, the worker dies while sending, Redis is emptied: nothing waits, no mail is lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import requests

from accounts.mail.tests.smtp_stand_in import SmtpStandIn
from local.children import Program
from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS, wait_until
from tests.faults.test_redis import wipe
from tests.installation import Installation, all_at_once, kill, kill_children, pause, resume

pytestmark = [pytest.mark.faults, pytest.mark.processes]

WEB_THREADS = 8  # two processes of four threads: the defaults
PASSWORD = "correct horse battery staple"
MESSAGE_ID = re.compile(r"^Message-ID: (.*)$", re.MULTILINE)
UNKNOWN = 'amani_mail_attempts_total{outcome="unknown"}'


@pytest.fixture
def amani(installation: Installation, mail_server: SmtpStandIn) -> Iterator[Installation]:
    """With no mail of an earlier test."""
    installation.rows("DELETE FROM accounts_mail RETURNING 1")
    mail_server.reset()
    yield installation
    installation.rows("DELETE FROM accounts_mail RETURNING 1")


def ask(amani: Installation, route: str, email: str) -> int:
    """The answer's status. Many at once from one address may get 429 for a moment; they ask again."""
    address = f"{amani.url}/_allauth/app/v1/auth/{route}"
    body = {"email": email, "password": PASSWORD}
    statuses: list[int] = []

    def is_answered() -> bool:
        statuses.append(requests.post(address, json=body, timeout=ANSWER_SECONDS).status_code)
        return statuses[-1] != 429

    wait_until(is_answered)
    return statuses[-1]


def states(amani: Installation) -> list[tuple[str, int]]:
    return amani.rows("SELECT state, attempt_count FROM accounts_mail ORDER BY id")


def all_sent(amani: Installation) -> bool:
    """Whatever waits is due from now on; nobody's lease ends."""
    amani.rows("UPDATE accounts_mail SET next_attempt_at = now() WHERE state = 'waiting' RETURNING 1")
    return {state for state, _ in states(amani)} == {"sent"}


def connections(mail_server: SmtpStandIn) -> int:
    return sum(iter(lambda: int(mail_server.connected.acquire(blocking=False)), 0))


def metric(amani: Installation, series: str) -> float:
    for line in requests.get(f"{amani.url}/metrics", timeout=ANSWER_SECONDS).text.splitlines():
        if line.startswith(f"{series} "):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"{series} is not exported")


def test_more_people_than_web_has_threads_sign_up_while_the_mail_server_hangs(
    amani: Installation, mail_server: SmtpStandIn
) -> None:
    mail_server.hang()
    assert ask(amani, "signup", "first@example.org") == 401
    assert mail_server.reached.acquire(timeout=PATIENCE_SECONDS), "the worker asks"

    people = [f"mail-{number}@example.org" for number in range(WEB_THREADS)]
    answers = all_at_once([partial(ask, amani, "signup", email) for email in people])
    assert answers == [401] * WEB_THREADS
    assert ask(amani, "password/request", "first@example.org") == 401
    assert amani.serves()
    assert not mail_server.released.is_set(), "it hangs all the time"
    assert 1 <= connections(mail_server) <= sum(attempts for _, attempts in states(amani)), "all the worker's"
    assert mail_server.received == []

    mail_server.works()
    assert wait_until(lambda: all_sent(amani)), states(amani)
    expected = Counter(["first@example.org"] * 2 + people)
    assert Counter(one.recipients[0] for one in mail_server.received) == expected


@pytest.mark.parametrize("die", [kill, kill_children])
def test_a_mail_whose_worker_is_killed_is_sent_again_and_counted(
    die: Callable[[Program], None], amani: Installation, mail_server: SmtpStandIn
) -> None:
    unknown = metric(amani, UNKNOWN)
    mail_server.hang("content")
    address = f"nobody-{die.__name__}@example.com"  # an address without an account gets one mail an hour
    assert ask(amani, "password/request", address) == 401
    assert mail_server.reached.acquire(timeout=PATIENCE_SECONDS), (
        "the server has the mail, and its answer is lost"
    )
    die(amani.worker)
    mail_server.works()
    assert states(amani) == [("waiting", 1)]
    amani.rows("UPDATE accounts_mail SET lease_until = now() RETURNING 1")  # a minute passes
    if not amani.worker.is_running:
        amani.restart(amani.worker)

    assert wait_until(lambda: all_sent(amani)), states(amani)
    assert states(amani) == [("sent", 2)]
    ids = [MESSAGE_ID.findall(one.content) for one in mail_server.received]
    assert (len(ids), ids[0]) == (2, ids[1]), "twice, and recognisably the same mail"
    assert metric(amani, UNKNOWN) == unknown + 1


def test_a_mail_whose_task_redis_forgot_is_sent_by_the_sweep(
    amani: Installation, mail_server: SmtpStandIn
) -> None:
    pause(amani.worker)
    assert ask(amani, "password/request", "somebody@example.com") == 401
    assert states(amani) == [("waiting", 0)]
    wipe(amani.valkey)
    amani.valkey.start()
    resume(amani.worker)

    def look() -> bool:
        for program in (amani.worker, amani.beat):
            if not program.is_running:
                program.start()
        return all_sent(amani)

    assert wait_until(look), states(amani)
    assert [one.recipients for one in mail_server.received] == [["somebody@example.com"]]
