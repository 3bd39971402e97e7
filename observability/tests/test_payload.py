import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.alerts.intake.payload import NotAPayload, as_json, read_payload
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
            "severity_is_unknown": False,
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
        (alert() | {"status": None}, '"status" is None, expected "firing" or "resolved"'),
        (alert(labels={}, fingerprint=""), '"labels" is empty, and there is no "fingerprint"'),
        (alert(labels=[1], fingerprint=7), '"labels" is empty, and there is no "fingerprint"'),
    ],
)
def test_alert_without_status_or_identity_is_set_aside_and_the_good_ones_are_read(
    bad: Any, reason: str
) -> None:
    read = read_payload(body(alert(1), bad, alert(2)))
    assert [row["fingerprint"][-1] for row in read.alerts] == ["1", "2"]
    assert [(item["position"], item["reason"]) for item in read.set_aside] == [(1, reason)]
    assert read.odd_fields == []


NO_START: dict[str, Any] = {"starts_at": None, "dedup_key": ""}


@pytest.mark.parametrize(
    ("odd", "changes", "reason"),
    [
        ({"labels": {}}, {"labels": {}, "alertname": "(no alertname)", "severity": "warning"}, ""),
        (
            {"labels": None},
            {"labels": {}, "alertname": "(no alertname)", "severity": "warning"},
            '"labels" is not an object: left out',
        ),
        (
            {"labels": {"alertname": "A", "port": 8000}},
            {"labels": {"alertname": "A", "port": "8000"}, "alertname": "A", "severity": "warning"},
            "\"labels\" has a value that is not a string: 'port', converted",
        ),
        (
            {"labels": {"alertname": "A", "up": True, "rate": 0.5, "of": ["x", None]}},
            {
                "labels": {"alertname": "A", "up": "true", "rate": "0.5", "of": '["x", null]'},
                "alertname": "A",
                "severity": "warning",
            },
            "\"labels\" has a value that is not a string: 'up', converted",
        ),
        (
            {"annotations": {"value": None, "summary": "S"}},
            {"annotations": {"summary": "S"}, "summary": "S"},
            "\"annotations\" has no value for 'value': left out",
        ),
        (
            {"annotations": {"summary": 97.5}},
            {"annotations": {"summary": "97.5"}, "summary": "97.5"},
            "\"annotations\" has a value that is not a string: 'summary', converted",
        ),
        ({"annotations": None}, {"annotations": {}, "summary": ""}, ""),
        ({"annotations": []}, {"annotations": {}, "summary": ""}, '"annotations" is not an object: left out'),
        (
            {"startsAt": "garbage"},
            NO_START,
            "\"startsAt\" is not an RFC 3339 time: 'garbage': the time of arrival is taken",
        ),
        (
            {"startsAt": "2026-11-23T03:00:00"},
            NO_START,
            "\"startsAt\" has no time zone: '2026-11-23T03:00:00': the time of arrival is taken",
        ),
        (
            {"startsAt": "9999-12-31T23:59:59-23:59"},
            NO_START,
            "\"startsAt\" is not an RFC 3339 time: '9999-12-31T23:59:59-23:59': the time of arrival is taken",
        ),
        ({"startsAt": None}, NO_START, '"startsAt" is missing: the time of arrival is taken'),
        ({"startsAt": 1763866800}, NO_START, '"startsAt" is not an RFC 3339 time: 1763866800: the time'),
        ({"generatorURL": 7}, {"generator_url": ""}, '"generatorURL" is not a string: left out'),
        ({"generatorURL": None}, {"generator_url": ""}, ""),
    ],
)
def test_odd_field_costs_only_that_field_and_is_noted(
    odd: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    [ordinary] = read_payload(body(alert(1))).alerts
    read = read_payload(body(alert(2), alert(1, **odd)))
    assert read.alerts == [ordinary | changes, read_payload(body(alert(2))).alerts[0]]
    assert read.set_aside == []
    assert [note["position"] for note in read.odd_fields[:1]] == ([1] if reason else [])
    assert not reason or read.odd_fields[0]["reason"].startswith(reason)
    assert read.odd_count == bool(reason)


@pytest.mark.parametrize(("value", "is_noted"), [(None, False), ("", False), ("a b", True), (7, True)])
def test_odd_fingerprint_is_made_from_the_labels(value: Any, is_noted: bool) -> None:
    read = read_payload(body(alert(1, fingerprint=value)))
    assert len(read.alerts[0]["fingerprint"]) == 32
    notes = ['"fingerprint" is not letters and digits: made from the labels'] if is_noted else []
    assert [note["reason"] for note in read.odd_fields] == notes


def test_odd_end_never_costs_the_resolve() -> None:
    read = read_payload(body(alert(status="resolved", endsAt="soon")))
    [row] = read.alerts
    assert (row["status"], row["ends_at"]) == ("resolved", None)
    assert read.odd_fields == [
        {"position": 0, "reason": "\"endsAt\" is not an RFC 3339 time: 'soon': left out"}
    ]


def test_value_nested_to_the_limit_is_converted() -> None:
    nested = "[" * 900 + "]" * 900
    raw = body(alert(1, labels={"alertname": "A", "x": "HERE"})).replace(b'"HERE"', nested.encode())
    [row] = read_payload(raw).alerts
    assert row["labels"]["x"] in {nested, "(nested too deeply)"}


def test_label_that_is_a_long_number_keeps_its_digits() -> None:
    [row] = read_payload(body(alert(labels={"alertname": "A", "account": 12345678901234567890123}))).alerts
    assert row["labels"]["account"] == "12345678901234567890123"


def test_notes_of_a_body_are_bounded() -> None:
    read = read_payload(body(*(alert(number, startsAt=None) for number in range(1000))))
    assert (read.odd_count, len(read.odd_fields), len(read.alerts)) == (1000, 200, 1000)


def test_nul_and_lone_surrogate_are_made_storable() -> None:
    raw = body(alert(labels={"alertname": "A\0B", "x": "\ud800y"}))
    [row] = read_payload(raw).alerts
    assert row["labels"] == {"alertname": "AB", "x": "\N{REPLACEMENT CHARACTER}y"}


def test_over_long_label_is_cut_and_says_so() -> None:
    [row] = read_payload(body(alert(labels={"alertname": "A" * 300, "x": "y" * 9000}))).alerts
    assert len(row["alertname"]) == 200
    assert row["labels"]["x"] == "y" * 8191 + "…"


@pytest.mark.parametrize(
    ("labels", "stored"),
    [
        ({"x": "y" * 8192}, {"x": "y" * 8192}),
        ({"x": "y" * 8193}, {"x": "y" * 8191 + "…"}),
        ({"x": "y" * 8192, "z": "z" * 8193}, {"x": "y" * 8192, "z": "z" * 8191 + "…"}),
        ({"k" * 8192: "y"}, {"k" * 8192: "y"}),
        ({"k" * 8193: "y"}, {"k" * 8192: "y"}),
    ],
)
def test_label_of_exactly_the_limit_is_kept_whole(labels: dict[str, str], stored: dict[str, str]) -> None:
    [row] = read_payload(body(alert(labels=labels))).alerts
    assert row["labels"] == stored


@pytest.mark.parametrize(("length", "kept"), [(200, 200), (201, 200)])
def test_alertname_is_cut_at_200_characters(length: int, kept: int) -> None:
    [row] = read_payload(body(alert(labels={"alertname": "A" * length}))).alerts
    assert row["alertname"] == "A" * kept


@pytest.mark.parametrize(
    ("fingerprint", "is_kept"),
    [("a" * 64, True), ("a" * 65, False), ("é", False), ("a-b", False), ("A1", True)],
)
def test_fingerprint_is_kept_when_it_is_at_most_64_letters_and_digits(
    fingerprint: str, is_kept: bool
) -> None:
    read = read_payload(body(alert(fingerprint=fingerprint)))
    assert (read.alerts[0]["fingerprint"] == fingerprint) == is_kept
    assert read.odd_count == (not is_kept)


def test_fingerprint_from_the_labels_does_not_depend_on_their_order() -> None:
    labels = {"alertname": "A", "job": "amani"}
    turned = dict(reversed(labels.items()))
    first, second, other = (
        read_payload(body(alert(fingerprint=None, labels=each))).alerts[0]["fingerprint"]
        for each in (labels, turned, labels | {"job": "other"})
    )
    assert first == second == "fbd1be737c031b046eec747191205045"
    assert other != first


@pytest.mark.parametrize(
    ("time", "ends_at"),
    [
        ("0001-01-01T00:00:00Z", None),
        ("0001-12-31T23:59:59Z", None),
        ("0002-01-01T00:00:00Z", "0002-01-01T00:00:00+00:00"),
        ("2026-11-23T04:00:00+01:00", "2026-11-23T03:00:00+00:00"),
    ],
)
def test_zero_time_of_go_is_no_time_and_others_are_in_utc(time: str, ends_at: str | None) -> None:
    read = read_payload(body(alert(status="resolved", endsAt=time)))
    assert (read.alerts[0]["ends_at"], read.odd_fields) == (ends_at, [])


def test_zero_start_is_a_missing_start() -> None:
    read = read_payload(body(alert(startsAt="0001-01-01T00:00:00Z")))
    assert (read.alerts[0]["starts_at"], read.alerts[0]["dedup_key"]) == (None, "")
    assert [note["reason"] for note in read.odd_fields] == [
        '"startsAt" is missing: the time of arrival is taken'
    ]


@pytest.mark.parametrize(
    ("value", "count"),
    [(3, 3), (1, 1), (0, 0), (-1, 0), ("3", 0), (1.5, 0), (None, 0), (2**31, 2**31 - 1)],
)
def test_number_of_truncated_alerts_is_a_count_or_zero(value: Any, count: int) -> None:
    raw = json.dumps(payload(alert(1)) | {"truncatedAlerts": value}).encode()
    assert read_payload(raw).truncated_alerts == count


def test_receiver_and_group_key_are_cut_and_made_storable() -> None:
    raw = json.dumps(payload() | {"receiver": "r\0" + "r" * 200, "groupKey": "g\0" + "g" * 500}).encode()
    read = read_payload(raw)
    assert (read.receiver, read.group_key, read.received) == ("r" * 200, "g" * 500, 0)
    bare = read_payload(b'{"version": "4", "alerts": []}')
    assert (bare.receiver, bare.group_key, bare.truncated_alerts) == ("", "", 0)


EARLIER, LATER = "2026-11-23T03:00:00Z", "2026-11-23T03:05:00Z"
OTHER_START = "has the fingerprint of another alert in this body with another start; the later start counts"


@pytest.mark.parametrize(("first", "second"), [(EARLIER, LATER), (LATER, EARLIER)])
def test_later_start_of_two_with_one_fingerprint_counts_and_the_second_is_set_aside(
    first: str, second: str
) -> None:
    resolved = alert(1, status="resolved", startsAt=first)
    read = read_payload(body(alert(2), resolved, alert(1, startsAt=second)))
    assert [row["starts_at"] for row in read.alerts] == [
        "2026-11-23T03:05:00+00:00",
        "2026-11-23T03:00:00.123456+00:00",
    ]
    assert [(item["position"], item["reason"]) for item in read.set_aside] == [(2, OTHER_START)]
    assert read.received == 3


@pytest.mark.parametrize("starts", [(None, EARLIER), (EARLIER, None)])
def test_usable_start_of_two_with_one_fingerprint_counts(starts: tuple[str | None, str | None]) -> None:
    read = read_payload(body(*(alert(1, startsAt=start) for start in starts)))
    assert [row["starts_at"] for row in read.alerts] == ["2026-11-23T03:00:00+00:00"]


@pytest.mark.parametrize("statuses", [("firing", "resolved"), ("resolved", "firing")])
def test_end_counts_more_than_the_beginning_in_any_order(statuses: tuple[str, str]) -> None:
    read = read_payload(body(*(alert(1, status=status) for status in statuses)))
    assert [row["status"] for row in read.alerts] == ["resolved"]
    assert read.set_aside == []


def test_what_is_set_aside_is_kept_as_an_excerpt() -> None:
    [item] = read_payload(body(alert(status="pe\0nding", labels={"x": "y" * 600}))).set_aside
    assert (len(item["excerpt"]), item["excerpt"][:21]) == (500, '{"status": "pending",')
    assert "\0" not in item["reason"]


def test_notes_of_several_alerts_share_the_room() -> None:
    odd: dict[str, Any] = {"startsAt": None, "generatorURL": 7, "annotations": []}
    read = read_payload(body(*(alert(number, **odd) for number in range(67))))
    assert (read.odd_count, len(read.odd_fields)) == (67, 200)
    assert [note["position"] for note in read.odd_fields[-3:]] == [65, 66, 66]


@pytest.mark.parametrize("statuses", [("firing", "resolved"), ("resolved", "firing")])
def test_body_with_both_reports_about_the_watchdog_notes_both(statuses: tuple[str, str]) -> None:
    watchdogs = [alert(labels={"alertname": "Watchdog"}, status=status) for status in statuses]
    read = read_payload(body(*watchdogs))
    assert (read.watchdog_fires, read.watchdog_ended) == (True, True)


def test_converted_labels_are_made_storable_as_well() -> None:
    [row] = read_payload(body(alert(labels={"alertname": "A", "port": 8000, "x": "y\0"}))).alerts
    assert row["labels"] == {"alertname": "A", "port": "8000", "x": "y"}


def test_value_that_is_nested_too_deeply_is_named_so() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert as_json(nested) == "(nested too deeply)"


@pytest.mark.parametrize("escape", [r"\ud800", r"\uD800"])
def test_surrogate_is_found_in_either_case(escape: str) -> None:
    raw = body(alert(labels={"alertname": "A", "x": "HERE"})).replace(b"HERE", escape.encode())
    [row] = read_payload(raw).alerts
    assert row["labels"]["x"] == "\N{REPLACEMENT CHARACTER}"


def test_address_of_the_graph_is_cut_and_made_storable() -> None:
    [row] = read_payload(body(alert(generatorURL="http://\0" + "p" * 9000))).alerts
    assert row["generator_url"] == "http://" + "p" * 8185


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
    if "status" not in changes and not {"labels", "fingerprint"} <= changes.keys():
        assert read.set_aside == []
