from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from observability.notifiers.base import AlertFacts, Kind, Message
from observability.notifiers.slack.digest import capacity
from observability.notifiers.slack.format import payload_for
from observability.notifiers.slack.groups import grouped
from observability.notifiers.slack.tests.rules import check
from observability.notifiers.tests.facts import START, alert, hostile_alerts, hostile_text, message, storm


def sections_of(payload: dict[str, Any]) -> list[str]:
    return [block["text"]["text"] for block in payload["blocks"] if block["type"] == "section"]


def context_of(payload: dict[str, Any]) -> list[str]:
    return [element["text"] for element in payload["blocks"][1]["elements"]]


def names_in(payload: dict[str, Any]) -> list[str]:
    """The contents of the code spans of items: those that don't say `label=value`."""
    spans = [
        span for text in sections_of(payload) for span in re.findall("`([^`]+)`", text) if "=" not in span
    ]
    return [item for span in spans for item in span.split(", ")]


def test_digest_says_how_many_what_they_share_and_each_one() -> None:
    alerts = [
        alert(labels={"alertname": "HighErrorRate", "job": "api", "instance": f"web-{number}"})
        for number in (1, 2, 3)
    ]
    payload = payload_for(message(Kind.DIGEST, *alerts))

    assert payload["blocks"][0]["text"]["text"] == "🔴 CRITICAL: 3 alerts firing"
    assert payload["text"] == "🔴 CRITICAL: 3 alerts firing on production"
    assert context_of(payload) == [
        "Environment: production",
        "The oldest since <!date^1740830400^{date_short_pretty} {time_secs}|2025-03-01 12:00:00 UTC>",
        "All with `job=api`",
    ]
    runbook = "<https://runbooks.example/HighErrorRate|Runbook>"
    assert sections_of(payload) == [f"*HighErrorRate* (3) by *instance* {runbook}: `web-1, web-2, web-3`"]


def test_digest_says_how_many_severities_are_unknown() -> None:
    odd = alert(severity="error", severity_is_unknown=True, labels={"instance": "a", "severity": "blocker"})
    payload = payload_for(message(Kind.DIGEST, odd, alert(severity="error", labels={"instance": "b"}), odd))

    assert payload["blocks"][0]["text"]["text"] == "🟠 ERROR: 3 alerts firing"
    assert context_of(payload)[-1] == "Severity unknown: 2 of them, see Amani"


def test_digest_says_how_many_alerts_are_escalated() -> None:
    late = alert(unacknowledged_minutes=15, labels={"instance": "a"})
    payload = payload_for(message(Kind.DIGEST, late, alert(labels={"instance": "b"}), late))
    assert context_of(payload)[-1] == "Not acknowledged in time: 2 of them"


def test_alerts_are_grouped_by_name_and_lone_ones_say_where() -> None:
    slow = {"alertname": "Slow", "runbook_url": ""}
    payload = payload_for(
        message(
            Kind.DIGEST,
            alert(**slow, labels={"job": "api", "instance": "a"}),
            alert(alertname="DiskSpaceLow", labels={"device": "sda1"}),
            alert(**slow, labels={"job": "api", "instance": "b"}),
        )
    )

    assert sections_of(payload) == ["*Slow* (2) `job=api` by *instance*: `a, b`\n*DiskSpaceLow* `sda1`"]


def test_several_labels_distinguish_alerts_when_one_does_not() -> None:
    pairs = [("a", "GET"), ("a", "POST"), ("b", "GET")]
    alerts = [alert(labels={"instance": instance, "method": method}) for instance, method in pairs]

    assert [group.items for group in grouped(alerts, lean=False)] == [("a GET", "a POST", "b GET")]


def test_alerts_that_no_label_distinguishes_are_named_by_fingerprint() -> None:
    alerts = [alert(fingerprint="aaaa000000000001"), alert(fingerprint="aaaa000000000002")]

    assert [group.items for group in grouped(alerts, lean=False)] == [
        ("#aaaa000000000001", "#aaaa000000000002")
    ]


@pytest.mark.parametrize("hidden", ["[redacted]", "web [redacted]"])
def test_an_alert_whose_own_label_is_hidden_is_named_by_fingerprint(hidden: str) -> None:
    """An instance of 16 digits may look like a card's number (`facts_of` hides it)."""
    alerts = [alert(labels={"instance": "web-1"}), alert(labels={"instance": hidden}, fingerprint="5772")]

    assert [group.items for group in grouped(alerts, lean=False)] == [("web-1", f"{hidden} #5772")]


def test_a_lone_alert_whose_label_is_hidden_is_named_by_fingerprint() -> None:
    hidden = alert(labels={"instance": "[redacted]"}, fingerprint="5772", runbook_url="")
    payload = payload_for(message(Kind.DIGEST, hidden, alert(alertname="Slow", runbook_url="", labels={})))

    assert sections_of(payload) == ["*HighErrorRate* `[redacted]` `#5772`\n*Slow*"]


def test_missing_label_is_a_dash() -> None:
    alerts = [alert(labels={"queue": "mail"}), alert(labels={})]

    assert [group.items for group in grouped(alerts, lean=False)] == [("mail", "-")]


def test_resolved_and_firing_alerts_are_counted_and_kept_apart() -> None:
    alerts = [
        alert(runbook_url=""),
        alert(status="resolved", runbook_url="", labels={"instance": "web-1"}),
        alert(status="resolved", runbook_url="", labels={"instance": "web-2"}),
    ]
    payload = payload_for(message(Kind.DIGEST, *alerts))

    assert payload["blocks"][0]["text"]["text"] == "🔴 CRITICAL: 1 alert firing, 2 resolved"
    assert sections_of(payload)[0].splitlines() == [
        "*HighErrorRate* `web-1:8000`",
        "✅ *HighErrorRate* (2) by *instance*: `web-1, web-2`",
    ]


def test_digest_of_resolved_alerts_is_titled_resolved() -> None:
    payload = payload_for(message(Kind.DIGEST, *storm(2, status="resolved")))

    assert payload["blocks"][0]["text"]["text"] == "✅ RESOLVED (critical): 2 alerts resolved"


def test_digest_of_tests_is_marked_as_a_test() -> None:
    payload = payload_for(message(Kind.DIGEST, *storm(2, is_test=True)))

    assert payload["blocks"][0]["text"]["text"] == "🧪 TEST, 🔴 CRITICAL: 2 alerts firing"
    assert sections_of(payload)[0].startswith("TEST *HighErrorRate* (2)")


def test_digest_says_how_many_it_does_not_name_and_links_to_all() -> None:
    payload = payload_for(
        message(Kind.DIGEST, *storm(2), more=12, console_url="https://amani.example/admin/alerts/")
    )

    assert context_of(payload)[-1] == "… and 12 more alerts, not named here"
    assert sections_of(payload)[-1] == "<https://amani.example/admin/alerts/|All of them in Amani>"


def test_digest_says_since_when_the_oldest_fires() -> None:
    older = alert(starts_at=START - timedelta(hours=1))

    assert "11:00:00 UTC" in context_of(payload_for(message(Kind.DIGEST, alert(), older)))[1]


def test_ten_thousand_alerts_are_all_named_in_at_most_thirty_digests() -> None:
    waiting = storm(10_000)
    digests: list[dict[str, Any]] = []
    named = 0
    while waiting:
        count = capacity(message(Kind.DIGEST, *waiting))
        digests.append(payload_for(message(Kind.DIGEST, *waiting[:count])))
        assert len(set(names_in(digests[-1]))) == count
        named, waiting = named + count, waiting[count:]

    assert named == 10_000
    assert len(digests) <= 30
    assert not any("not named here" in element for digest in digests for element in context_of(digest))
    for digest in digests:
        check(digest)


def test_what_every_name_has_in_common_is_said_once_when_room_is_short() -> None:
    payload = payload_for(message(Kind.DIGEST, *storm(900)))

    heading = "*HighErrorRate* (900) by `instance=host-00….prod.example.internal:9100`: `000, 001, 002, "
    assert sections_of(payload)[0].startswith(heading)


def test_alerts_over_the_capacity_are_counted_not_dropped() -> None:
    alerts = storm(5000)
    payload = payload_for(message(Kind.DIGEST, *alerts, more=7))

    named = capacity(message(Kind.DIGEST, *alerts))
    assert 333 <= named < 5000
    assert len(set(names_in(payload))) == named
    assert context_of(payload)[-1] == f"… and {5000 - named + 7} more alerts, not named here"
    check(payload)


def test_capacity_of_few_alerts_is_all_of_them() -> None:
    counts = [0, 1, 2, 3, 7, 100]
    assert [capacity(Message(Kind.DIGEST, storm(count), "production")) for count in counts] == counts


def test_alert_of_huge_labels_fits_alone() -> None:
    huge = alert(alertname="n" * 100_000, labels={f"l{number}": "v" * 100_000 for number in range(20)})

    assert capacity(message(Kind.DIGEST, huge)) == 1
    check(payload_for(message(Kind.DIGEST, huge)))


def test_alerts_whose_difference_is_cut_off_are_still_distinguished() -> None:
    alerts = [
        alert(labels={"instance": "same" * 100 + end}, fingerprint=f"f{end}")
        for end in ("a" * 300, "b" * 300)
    ]
    (group,) = grouped(alerts, lean=False)

    assert len(set(group.items)) == 2


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    alerts=st.lists(hostile_alerts, min_size=1, max_size=12),
    environment=hostile_text,
    url=hostile_text,
    more=st.integers(0, 10**6),
)
def test_no_digest_breaks_slacks_limits_or_formatting(
    alerts: list[AlertFacts], environment: str, url: str, more: int
) -> None:
    digest = Message(Kind.DIGEST, tuple(alerts), environment, more=more, console_url=url)

    check(payload_for(digest))
    assert 1 <= capacity(digest) <= len(alerts)
