import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.alerts.payload import NotAPayload, read_payload
from observability.tests.payloads import alert, body, payload


def test_firing_alert_becomes_a_row() -> None:
    read = read_payload(body(alert(1)))
    assert read.set_aside == []
    assert read.alerts == [
        {
            "fingerprint": "0000000000000001",
            "starts_at": "2026-11-23T03:00:00.123456+00:00",
            "ends_at": None,
            "status": "firing",
            "severity": "critical",
            "alertname": "HighErrorRate",
            "summary": "Errors on web-1",
            "labels": {
                "alertname": "HighErrorRate",
                "instance": "web-1",
                "job": "amani",
                "severity": "critical",
            },
            "annotations": {"summary": "Errors on web-1", "description": "5 % of requests fail."},
            "generator_url": "http://prometheus:9090/graph?g0.expr=up",
            "dedup_key": "amani-0000000000000001-2026-11-23T03:00:00.123456+00:00",
        }
    ]


def test_resolved_alert_has_its_end() -> None:
    [row] = read_payload(body(alert(1, status="resolved"))).alerts
    assert (row["status"], row["ends_at"]) == ("resolved", "2026-11-23T03:10:00+00:00")


@pytest.mark.parametrize(
    ("given_severity", "stored"),
    [
        ("critical", "critical"),
        ("page", "critical"),
        ("WARNING", "warning"),
        ("none", "info"),
        ("odd", "warning"),
    ],
)
def test_severity_is_mapped_to_the_four_there_are(given_severity: str, stored: str) -> None:
    [row] = read_payload(body(alert(severity=given_severity))).alerts
    assert row["severity"] == stored


def test_same_alert_twice_in_a_body_is_one_row_and_resolved_wins() -> None:
    rows = read_payload(body(alert(1, status="resolved"), alert(1), alert(2))).alerts
    assert [(row["fingerprint"][-1], row["status"]) for row in rows] == [("1", "resolved"), ("2", "firing")]


def test_rows_are_ordered_by_fingerprint_so_that_webhooks_cannot_deadlock() -> None:
    rows = read_payload(body(alert(3), alert(1), alert(2))).alerts
    assert [row["fingerprint"][-1] for row in rows] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("raw", "reason", "message"),
    [
        (b"", "not_json", "The body is not JSON"),
        (b"{", "not_json", "The body is not JSON"),
        (b"\xff{}", "bad_encoding", "The body is not UTF-8"),
        (b"[" * 200_000, "not_json", "nested too deeply"),
        (b"[]", "not_a_payload", "not a JSON object"),
        (b"{}", "not_a_payload", '"version" is None'),
        (b'{"version":"5","alerts":[]}', "not_a_payload", "\"version\" is '5'"),
        (b'{"version":"4"}', "not_a_payload", '"alerts" is not a list'),
        (b'{"version":"4","alerts":{}}', "not_a_payload", '"alerts" is not a list'),
    ],
)
def test_what_is_no_payload_is_refused_with_its_reason(raw: bytes, reason: str, message: str) -> None:
    with pytest.raises(NotAPayload, match=message) as refusal:
        read_payload(raw)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("not an object", "is not an object"),
        (alert(status="pending"), '"status" is \'pending\', expected "firing" or "resolved"'),
        (alert(labels={}), '"labels" is empty'),
        (alert(labels=None), '"labels" is not an object'),
        (alert(labels={"a": 1}), "\"labels\" has a value that is not a string: 'a'"),
        (alert(annotations=[]), '"annotations" is not an object'),
        (alert(startsAt="garbage"), "\"startsAt\" is not an RFC 3339 time: 'garbage'"),
        (alert(startsAt="2026-11-23T03:00:00"), "\"startsAt\" has no time zone: '2026-11-23T03:00:00'"),
        (alert(startsAt="9999-12-31T23:59:59-23:59"), '"startsAt" is not an RFC 3339 time'),
        (alert(startsAt=None), '"startsAt" is missing'),
    ],
)
def test_bad_alert_is_set_aside_and_the_good_ones_are_read(bad: Any, reason: str) -> None:
    read = read_payload(body(alert(1), bad, alert(2)))
    assert [row["fingerprint"][-1] for row in read.alerts] == ["1", "2"]
    assert [(item["position"], item["reason"][: len(reason)]) for item in read.set_aside] == [(1, reason)]


def test_odd_end_never_costs_the_resolve() -> None:
    [row] = read_payload(body(alert(status="resolved", endsAt="soon"))).alerts
    assert (row["status"], row["ends_at"]) == ("resolved", None)


def test_nul_and_lone_surrogate_are_made_storable() -> None:
    raw = body(alert(labels={"alertname": "A\0B", "x": "\ud800y"}))
    [row] = read_payload(raw).alerts
    assert row["labels"] == {"alertname": "AB", "x": "\N{REPLACEMENT CHARACTER}y"}


def test_over_long_label_is_cut_and_says_so() -> None:
    [row] = read_payload(body(alert(labels={"alertname": "A" * 300, "x": "y" * 9000}))).alerts
    assert len(row["alertname"]) == 200
    assert row["labels"]["x"] == "y" * 8191 + "…"


def test_missing_fingerprint_is_made_from_the_labels() -> None:
    rows = [read_payload(body(alert(1, fingerprint=value))).alerts[0] for value in (None, "", "a b", 7)]
    assert len({row["fingerprint"] for row in rows}) == 1
    assert len(rows[0]["fingerprint"]) == 32


def test_watchdog_is_a_sign_of_life_and_no_episode() -> None:
    read = read_payload(body(alert(labels={"alertname": "Watchdog"}), alert(1)))
    assert read.watchdog_fires
    assert not read.watchdog_ended
    assert [row["alertname"] for row in read.alerts] == ["HighErrorRate"]


def test_end_of_the_watchdog_is_noted_and_no_sign_of_life() -> None:
    read = read_payload(body(alert(labels={"alertname": "Watchdog"}, status="resolved")))
    assert (read.watchdog_fires, read.watchdog_ended, read.alerts) == (False, True, [])


def test_integer_of_ten_thousand_digits_does_not_cost_the_payload() -> None:
    raw = body(alert(1)).replace(b'"truncatedAlerts": 0', b'"truncatedAlerts": ' + b"9" * 10_000)
    read = read_payload(raw)
    assert (len(read.alerts), read.truncated_alerts) == (1, 2**31 - 1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(alert())), json_values))
def test_no_field_of_an_alert_can_raise_or_cost_its_neighbour(changes: dict[str, Any]) -> None:
    raw = json.dumps(payload(alert(1) | changes, alert(2)))
    read = read_payload(raw.encode("utf-8", "surrogatepass") if "\\u" not in raw else raw.encode())
    assert "0000000000000002" in {row["fingerprint"] for row in read.alerts}
    assert len(read.alerts) + len(read.set_aside) in {1, 2}
