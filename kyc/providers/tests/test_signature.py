"""Tests Smile ID's signature against one created by openssl."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kyc.providers.smile_id.signature import is_genuine, is_timely, signature_of, signed

KEY = "a-test-key-0123456789"
MOMENT = "2026-01-02T03:04:05.678Z"
# printf '%s' "${MOMENT}2468sid_request" | openssl dgst -sha256 -hmac "$KEY" -binary | base64
BY_OPENSSL = "eWTLfZ0E795HEydiOgKs8qFpGwiFzRxRAg0KyiU1Zfo="


def genuine(**changes: object) -> bool:
    known: dict[str, object] = {
        "timestamp": MOMENT,
        "signature": BY_OPENSSL,
        "partner_id": "2468",
        "api_key": KEY,
    }
    return is_genuine(**known | changes)  # type: ignore[arg-type]


def test_the_signature_is_what_openssl_makes_of_it() -> None:
    assert signature_of(timestamp=MOMENT, partner_id="2468", api_key=KEY) == BY_OPENSSL
    assert genuine()


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": "2026-01-02T03:04:05.679Z"},
        {"timestamp": None},
        {"timestamp": 1767322800},
        {"signature": BY_OPENSSL[:-2]},
        {"signature": ""},
        {"signature": None},
        {"signature": ["x"]},
        {"signature": "é" * 44},
        {"signature": "\ud800"},
        {"timestamp": "\ud800"},
        {"partner_id": "2469"},
        {"api_key": KEY + "x"},
    ],
)
def test_anything_else_is_not_genuine(changes: dict[str, object]) -> None:
    assert not genuine(**changes)


def test_without_a_key_of_ours_nothing_is_genuine() -> None:
    empty = signature_of(timestamp=MOMENT, partner_id="", api_key="")
    assert not genuine(signature=empty, partner_id="", api_key="")


def test_what_we_sign_now_is_genuine_and_timely() -> None:
    fields = signed(partner_id="2468", api_key=KEY)
    assert genuine(**fields)
    assert is_timely(fields["timestamp"], datetime.now(UTC))


@pytest.mark.parametrize(
    ("ago", "timely"),
    [
        (timedelta(0), True),
        (timedelta(hours=71), True),
        (timedelta(hours=73), False),
        (timedelta(minutes=-14), True),
        (timedelta(minutes=-16), False),
    ],
)
def test_a_timestamp_is_timely_for_three_days(ago: timedelta, timely: bool) -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    moment = now - ago
    assert is_timely(moment.isoformat(), now) is timely
    assert is_timely(moment.replace(tzinfo=None).isoformat(), now) is timely


@pytest.mark.parametrize(
    "text", ["", "yesterday", "None", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+23:59"]
)
def test_what_is_no_timestamp_is_not_timely(text: str) -> None:
    assert not is_timely(text, datetime.now(UTC))
