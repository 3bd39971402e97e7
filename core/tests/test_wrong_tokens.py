"""Wrong tokens are counted by their source, for a minute, in bounded memory."""

from typing import Any

import pytest
from django.test import RequestFactory

from core import wrong_tokens
from core.wrong_tokens import WrongTokens


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the process has run."""
    now = [600.0]
    monkeypatch.setattr("core.wrong_tokens.time.monotonic", lambda: now[0])
    return now


def wrong(counted: WrongTokens, address: str = "192.0.2.1", **headers: Any) -> bool:
    return counted.are_too_many(RequestFactory().get("/", REMOTE_ADDR=address))


def test_each_source_may_send_as_many_as_the_limit(clock: list[float]) -> None:
    counted = WrongTokens(2)
    assert [wrong(counted) for _ in range(4)] == [False, False, True, True]
    assert not wrong(counted, "192.0.2.2")


def test_a_minute_later_a_wrong_token_is_just_wrong(clock: list[float]) -> None:
    counted = WrongTokens(1)
    assert [wrong(counted) for _ in range(2)] == [False, True]
    clock[0] = 659.9
    assert wrong(counted)
    clock[0] = 660.0
    assert not wrong(counted)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "source"),
    [
        (0, "203.0.113.9", "192.0.2.1"),  # a header that no proxy has set is the client's word
        (1, "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (2, "198.51.100.1, 203.0.113.9", "198.51.100.1"),
        (2, "203.0.113.9", "192.0.2.1"),
    ],
)
def test_the_source_is_the_client_behind_the_proxies_that_are_known(
    proxies: int, forwarded: str, source: str, settings: Any
) -> None:
    settings.TRUSTED_PROXY_COUNT = proxies
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert wrong_tokens.source_of(request) == source


def test_a_request_without_an_address_has_a_source_too() -> None:
    assert wrong_tokens.source_of(RequestFactory().get("/", REMOTE_ADDR="")) == "unknown"


def test_the_memory_is_bounded(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_tokens, "MOST_SOURCES", 3)
    counted = WrongTokens(1)
    for number in range(10):
        wrong(counted, f"192.0.2.{number}")
        assert len(counted.counts) <= 3
