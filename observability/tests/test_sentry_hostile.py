"""Failures while an error is reported: hostile errors, a filter that fails, a Sentry that is not there."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sentry_sdk

from observability import sentry
from observability.sentry import capture_exception
from observability.telemetry.errors import events as error_events
from observability.telemetry.errors.trail import trail
from observability.telemetry.errors.transport import CountingTransport
from observability.telemetry.processes import EXIT_SECONDS
from observability.tests.fake_sentry import FakeSentry
from observability.tests.log_events import names_of
from observability.tests.samples import Change
from observability.tests.waiting import PATIENCE_SECONDS, wait_until

EVENTS = "amani_sentry_events_total"


@pytest.fixture
def on(sentry_server: FakeSentry, settings: Any) -> Iterator[FakeSentry]:
    trail.forget()
    settings.SENTRY_DSN = sentry_server.dsn
    sentry.start("command")
    yield sentry_server
    sentry.stop(PATIENCE_SECONDS)


def the_event(sentry_server: FakeSentry) -> dict[str, Any]:
    sentry.stop(PATIENCE_SECONDS)
    (event,) = sentry_server.of("event")
    return event


def raised(error: BaseException) -> BaseException:
    """`error` with a traceback."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


# --- Hostile errors ---


def test_an_error_that_cannot_be_printed_is_reported(on: FakeSentry) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no")

        __repr__ = __str__

    capture_exception(raised(Mute()))
    (exception,) = the_event(on)["exception"]["values"]
    assert exception["type"].endswith("Mute")
    assert exception["value"] == "<broken repr>"


def test_an_error_that_cannot_be_changed_is_reported_once(on: FakeSentry) -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    error = raised(Frozen("still"))
    capture_exception(error)
    capture_exception(error)
    assert the_event(on)["exception"]["values"][0]["value"] == "still"


def test_a_huge_message_is_cut(on: FakeSentry) -> None:
    capture_exception(raised(ValueError("long " * 2_000_000)))
    value = the_event(on)["exception"]["values"][0]["value"]
    assert len(value) <= sentry.LONGEST_TEXT
    assert value.startswith("long long")


def test_a_deep_recursion_keeps_both_ends_of_its_stack(on: FakeSentry) -> None:
    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as caught:
        deeper()
    capture_exception(caught.value)
    stacktrace = the_event(on)["exception"]["values"][0]["stacktrace"]
    assert len(stacktrace["frames"]) == error_events.MOST_FRAMES
    assert stacktrace["frames"][0]["function"].startswith("test_a_deep_recursion")
    assert stacktrace["frames"][-1]["function"] == "deeper"
    assert stacktrace["frames_omitted"][0] == error_events.MOST_FRAMES // 4
    assert max(len(body) for body in on.bodies) < 200_000


def test_a_long_chain_keeps_both_ends(on: FakeSentry) -> None:
    error: BaseException = ValueError("0")
    for number in range(1, 500):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    capture_exception(error)
    values = [one["value"] for one in the_event(on)["exception"]["values"]]
    assert values == [str(number) for number in (*range(10), *range(490, 500))]


def test_a_group_of_errors_is_reported_with_its_members(on: FakeSentry) -> None:
    capture_exception(raised(ExceptionGroup("several", [ValueError("one"), KeyError("two")])))
    values = the_event(on)["exception"]["values"]
    assert {(one["type"], one["value"]) for one in values} == {
        ("ExceptionGroup", "several"),
        ("ValueError", "one"),
        ("KeyError", "'two'"),
    }


def test_an_event_too_large_to_be_scrubbed_keeps_what_it_is_and_where(on: FakeSentry) -> None:
    everything = {str(number): {str(inner): "text" for inner in range(400)} for number in range(400)}
    capture_exception(raised(ValueError("the error")), context=everything, user_info={"id": 7})
    event = the_event(on)
    assert event["exception"]["values"][0]["value"] == "the error"
    assert (event["tags"]["amani.process"], event["user"]["id"]) == ("command", 7)
    assert max(len(body) for body in on.bodies) < 1_000_000


def test_context_that_is_no_json_is_sent_as_its_representation(on: FakeSentry) -> None:
    class Mute:
        def __repr__(self) -> str:
            raise ValueError("no")

    capture_exception(raised(ValueError()), context={"bytes": b"\xff", "set": {1}, "mute": Mute()})
    assert the_event(on)["contexts"]["context"] == {"bytes": "\ufffd", "set": [1], "mute": "<broken repr>"}


# --- Filters ---


def test_a_filter_leaves_errors_out_and_says_so(on: FakeSentry, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_value_errors(event: Any, hint: Any) -> Any:
        return event if isinstance(hint["exc_info"][1], ValueError) else None

    filtered = Change(EVENTS, outcome="filtered")
    monkeypatch.setattr(sentry, "before_send_handler", only_value_errors)
    capture_exception(raised(KeyError()))
    capture_exception(raised(ValueError()))
    assert the_event(on)["exception"]["values"][0]["type"] == "ValueError"
    assert filtered() == 1


def test_a_filter_that_fails_loses_nothing_and_is_logged(
    on: FakeSentry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(event: Any, hint: Any) -> Any:
        raise KeyError("nothing here")

    monkeypatch.setattr(sentry, "before_send_handler", fails)
    capture_exception(raised(ValueError("kept")))
    assert the_event(on)["exception"]["values"][0]["value"] == "kept"
    assert names_of(caplog.records) == ["before_send_handler_failed"]


def test_what_a_filter_adds_is_scrubbed_and_ids_are_not(
    on: FakeSentry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def adds(event: Any, hint: Any) -> Any:
        event["extra"] = {"password": "planted"}
        event["tags"]["request_id"] = "4111111111111111"
        return event

    monkeypatch.setattr(sentry, "before_send_handler", adds)
    capture_exception(raised(ValueError("password=planted")))
    event = the_event(on)
    assert "planted" not in str(event["extra"]) + event["exception"]["values"][0]["value"]
    assert event["tags"]["request_id"] == "4111111111111111"


def test_what_is_captured_past_amani_is_scrubbed_too(on: FakeSentry) -> None:
    sentry_sdk.capture_message("password=planted")
    event = the_event(on)
    assert "planted" not in str(event)
    assert event["tags"]["amani.process"] == "command"


def test_a_fault_of_ours_is_logged_and_counted_and_raises_nothing(
    on: FakeSentry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> Any:
        raise RuntimeError

    dropped = Change(EVENTS, outcome="dropped")
    monkeypatch.setattr(error_events, "about_here", fails)
    capture_exception(raised(ValueError()))
    assert names_of(caplog.records) == ["sentry_event_failed"]
    assert dropped() == 1


# --- Sentry itself ---


@contextmanager
def refusing() -> Iterator[int]:
    """A port that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def silent() -> Iterator[int]:
    """A port where connections are taken and nothing is answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("unreachable", [refusing, silent])
def test_an_unreachable_sentry_delays_no_request_and_every_loss_is_counted(
    unreachable: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the end: a connection that hangs would take ten minutes here."""
    monkeypatch.setattr(CountingTransport, "TIMEOUT", 600)
    captured, dropped = Change(EVENTS, outcome="captured"), Change(EVENTS, outcome="dropped")
    with unreachable() as port:
        settings.SENTRY_DSN = f"http://key@127.0.0.1:{port}/1"
        sentry.start("web")
        for number in range(150):  # more than the queue holds
            capture_exception(raised(ValueError(str(number))))
        ending = threading.Thread(target=sentry.stop, args=(EXIT_SECONDS,), daemon=True)
        ending.start()
        ending.join(PATIENCE_SECONDS)
        assert not ending.is_alive()
    assert (captured(), dropped()) == (150, 150)


@pytest.mark.parametrize("status", [413, 429, 500])
def test_a_refusal_is_counted(status: int, on: FakeSentry) -> None:
    captured, dropped = Change(EVENTS, outcome="captured"), Change(EVENTS, outcome="dropped")
    on.status = status
    capture_exception(raised(ValueError()))
    sentry.stop(PATIENCE_SECONDS)
    assert (captured(), dropped()) == (1, 1)


def test_after_a_429_no_event_is_made(on: FakeSentry, monkeypatch: pytest.MonkeyPatch) -> None:
    captured, dropped = Change(EVENTS, outcome="captured"), Change(EVENTS, outcome="dropped")
    on.status = 429
    capture_exception(raised(ValueError()))
    assert wait_until(lambda: dropped() == 1)
    monkeypatch.setattr(error_events, "event_of", None)
    capture_exception(raised(ValueError()))
    sentry.stop(PATIENCE_SECONDS)
    assert (captured(), dropped()) == (2, 2)


def test_what_arrives_is_not_counted_as_dropped(on: FakeSentry) -> None:
    captured, dropped = Change(EVENTS, outcome="captured"), Change(EVENTS, outcome="dropped")
    for _ in range(5):
        capture_exception(raised(ValueError()))
    sentry.stop(PATIENCE_SECONDS)
    assert (captured(), dropped(), len(on.of("event"))) == (5, 0, 5)


def test_many_threads_at_once_lose_nothing(on: FakeSentry) -> None:
    def fail_four_times() -> None:
        for _ in range(4):
            capture_exception(raised(ValueError()))

    threads = [threading.Thread(target=fail_four_times) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sentry.stop(PATIENCE_SECONDS)
    assert len(on.of("event")) == 32


def test_the_sdk_says_nothing_in_the_log(on: FakeSentry, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    on.status = 500
    capture_exception(raised(ValueError()))
    sentry.stop(PATIENCE_SECONDS)
    assert [line.name for line in caplog.records if line.name.startswith("sentry")] == []
