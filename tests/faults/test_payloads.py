"""Unusual input over real HTTP: repeated, shuffled, partly malformed, too large, without a token."""

from __future__ import annotations

import http.client
import json
import random
from functools import partial
from typing import Any

import pytest
import requests

from observability.tests.payloads import alert, payload
from observability.tests.vendors import Vendor
from observability.tests.waiting import ANSWER_SECONDS
from tests.faults.notifications import duplicates, firing, lost, notifications, triggers
from tests.installation import TOKEN, Installation, all_at_once

pytestmark = [pytest.mark.faults, pytest.mark.processes]

NUMBERS = range(1, 6)
SENDERS = ("http://alertmanager-1:9093", "http://alertmanager-2:9093")
SEED = 20261123


def copies(count: int, **changes: Any) -> list[bytes]:
    """The same snapshot `count` times, its alerts in any order, from two senders in turn."""
    shuffle = random.Random(SEED).shuffle  # noqa: S311
    bodies = []
    for turn in range(count):
        alerts = [alert(number, **changes) for number in NUMBERS]
        shuffle(alerts)
        sender = SENDERS[turn % 2]
        bodies.append(json.dumps(payload(*alerts, externalURL=sender, groupKey=f"{{}}:{sender}")).encode())
    return bodies


def post_all(installation: Installation, bodies: list[bytes]) -> set[int]:
    return {installation.post(body) for body in bodies}


def post_at_once(installation: Installation, bodies: list[bytes]) -> set[int]:
    return set(all_at_once(partial(installation.post, body) for body in bodies))


def timeline(installation: Installation) -> list[tuple[Any, ...]]:
    """What payloads wrote; how an alert ended is written by its sender, later."""
    return installation.rows(
        "SELECT kind, count(*) FROM observability_episodeevent WHERE kind <> 'ending'"
        " GROUP BY kind ORDER BY kind"
    )


def test_a_payload_that_comes_many_times_counts_once(
    installation: Installation, slack: Vendor, pagerduty: Vendor
) -> None:
    assert post_at_once(installation, copies(8)) == {200}
    assert post_all(installation, copies(10)) == {200}
    installation.await_settled()
    assert installation.count("episode") == len(NUMBERS)
    assert timeline(installation) == [("fired", len(NUMBERS))]

    assert post_at_once(installation, copies(8, status="resolved")) == {200}
    mixed = copies(10, status="resolved") + copies(10)
    random.Random(SEED).shuffle(mixed)  # noqa: S311
    assert post_all(installation, mixed) == {200}
    installation.await_settled()
    assert installation.count("episode", "status = 'resolved'") == len(NUMBERS)
    assert timeline(installation) == [("fired", len(NUMBERS)), ("resolved", len(NUMBERS))]
    for vendor in (slack, pagerduty):
        expected = [(number, action) for number in NUMBERS for action in ("trigger", "resolve")]
        assert sorted(notifications(vendor)) == sorted(expected)


GOOD = [alert(number, severity="warning") for number in range(1, 100)]


def post_among_good_ones(installation: Installation, odd: Any) -> list[tuple[Any, ...]]:
    """(outcome, alerts, positions set aside, positions with odd fields) of the receipt."""
    installation.forget()
    assert installation.post(json.dumps(payload(*GOOD[:50], odd, *GOOD[50:])).encode()) == 200
    kept = installation.rows("SELECT outcome, alert_count, set_aside, odd_fields FROM observability_receipt")
    return [
        (outcome, count, [found["position"] for found in aside], [found["position"] for found in odd_fields])
        for outcome, count, aside, odd_fields in kept
    ]


def test_one_bad_alert_spoils_nothing(installation: Installation, slack: Vendor, pagerduty: Vendor) -> None:
    for bad in (alert(500, labels={}, fingerprint=""), alert(500, status="exploded"), "not an alert"):
        assert post_among_good_ones(installation, bad) == [("partial", 100, [50], [])]
        assert installation.count("episode") == 99
    installation.await_settled()
    assert lost(slack, triggers(range(1, 100))) == set()
    assert notifications(pagerduty) == []


def test_one_odd_field_costs_only_that_field(
    installation: Installation, slack: Vendor, pagerduty: Vendor
) -> None:
    for odd in (
        alert(100, severity="warning", startsAt="yesterday"),
        alert(100, severity="warning", startsAt="2026-02-30T00:00:00Z"),
        alert(100, severity="warning", annotations={"summary": "Errors on web-100", "count": 5}),
    ):
        assert post_among_good_ones(installation, odd) == [("stored", 100, [], [50])]
        assert installation.count("episode") == 100
    installation.await_settled()
    assert lost(slack, triggers(range(1, 101))) == set()
    assert notifications(pagerduty) == []


def test_what_postgresql_cannot_keep_is_left_out_of_an_alert_that_is_kept(
    installation: Installation, slack: Vendor
) -> None:
    odd = alert(
        2, severity="warning", annotations={"summary": "Errors on web-2\0\ud800", "more": "x" * 100_000}
    )
    assert installation.post(json.dumps(payload(alert(1, severity="warning"), odd)).encode()) == 200
    assert installation.rows("SELECT summary FROM observability_episode ORDER BY fingerprint") == [
        ("Errors on web-1",),
        ("Errors on web-2\N{REPLACEMENT CHARACTER}",),
    ]
    installation.await_settled()
    assert lost(slack, triggers([1, 2])) == set()


def test_four_hundred_alerts_in_one_payload_are_all_sent(installation: Installation, slack: Vendor) -> None:
    numbers = range(1, 401)
    assert installation.post(firing(numbers, severity="warning")) == 200
    assert installation.count("episode") == 400
    installation.await_settled()
    assert lost(slack, triggers(numbers)) == set()
    assert duplicates(slack) == 0


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
    ],
)
def test_a_stranger_is_refused_and_nothing_is_stored(
    header: dict[str, str], installation: Installation
) -> None:
    answer = requests.post(
        f"{installation.url}/api/v1/alerts/webhook",
        data=firing(NUMBERS),
        headers=header,
        timeout=ANSWER_SECONDS,
    )
    assert answer.status_code == 401
    assert answer.json()["code"] == "bad_token"
    assert installation.count("receipt") == installation.count("episode") == 0


def test_a_body_over_the_limit_is_refused_and_nothing_is_stored(installation: Installation) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=ANSWER_SECONDS)
    connection.putrequest("POST", "/api/v1/alerts/webhook")
    connection.putheader("Authorization", f"Bearer {TOKEN}")
    connection.putheader("Content-Length", str(32 * 1024 * 1024 + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["code"] == "too_large"
    connection.close()
    assert installation.count("receipt") == installation.count("episode") == 0


def test_who_sends_all_of_a_body_over_the_limit_still_hears_why(installation: Installation) -> None:
    body = firing(NUMBERS)
    assert installation.post(body + b" " * (32 * 1024 * 1024)) == 413
    assert installation.count("receipt") == installation.count("episode") == 0


def test_a_body_at_the_limit_is_taken(installation: Installation) -> None:
    body = firing([1], severity="info")
    assert installation.post(body + b" " * (32 * 1024 * 1024 - len(body))) == 200
    assert installation.count("episode") == 1
