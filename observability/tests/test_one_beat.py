"""One beat sends at a time, also when it is killed or Redis starts anew."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from local.ports import find_free_port
from local.services import PrivateValkey
from observability.telemetry import one_beat
from observability.telemetry.one_beat import KEY, LEASE_SECONDS, OneBeat, Turn
from observability.tests.log_events import names_of
from observability.tests.processes import running
from observability.tests.sample_celery import app
from observability.tests.waiting import ANSWER_SECONDS, wait_until

HEARTBEAT = re.compile(r"^amani_beat_heartbeat_timestamp_seconds (\S+)$", re.MULTILINE)


@pytest.fixture
def valkey(private_valkey: Callable[[], PrivateValkey], settings: Any) -> PrivateValkey:
    server = private_valkey()
    settings.REDIS_URL = server.url
    return server


# --- The lease ---


def test_a_second_beat_waits_says_so_once_and_takes_over(
    valkey: PrivateValkey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first, second = Turn(), Turn()
    assert [first.is_mine(), second.is_mine(), first.is_mine(), second.is_mine()] == [
        True,
        False,
        True,
        False,
    ]
    assert names_of(caplog.records) == ["beat_waits_for_its_turn"]
    first.give_up()
    assert [second.is_mine(), second.is_mine(), first.is_mine()] == [True, True, False]
    assert names_of(caplog.records)[1:] == ["beat_has_its_turn", "beat_waits_for_its_turn"]


def test_a_beat_that_was_away_too_long_has_lost_its_turn(valkey: PrivateValkey) -> None:
    first, second = Turn(), Turn()
    assert first.is_mine()
    redis.Redis.from_url(valkey.url).delete(KEY)  # as when the lease has run out, or Redis has forgotten it
    assert second.is_mine()
    assert not first.is_mine()
    first.give_up()
    assert second.is_mine()


def test_redis_is_asked_once_and_for_half_a_second() -> None:
    """A beat that waits for Redis sends nothing, and serves no metrics."""
    given = Turn().lock.redis.get_connection_kwargs()
    assert (given["socket_timeout"], given["socket_connect_timeout"]) == (0.5, 0.5)
    assert given["retry"].get_retries() == 0


def test_a_beat_that_was_closed_ends_even_if_the_exit_of_the_signal_was_lost(valkey: PrivateValkey) -> None:
    beat = OneBeat(app=app, lazy=True)
    beat.close()
    with pytest.raises(SystemExit):
        beat.tick()


def test_another_thread_of_the_beat_gives_the_lease_back(valkey: PrivateValkey) -> None:
    first = Turn()
    assert first.is_mine()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(first.give_up).result()
    assert Turn().is_mine()


def test_the_lease_ends_by_itself(valkey: PrivateValkey) -> None:
    assert Turn().is_mine()
    assert 0 < redis.Redis.from_url(valkey.url).pttl(KEY) <= LEASE_SECONDS * 1000


def test_without_redis_it_is_nobody_s_turn(valkey: PrivateValkey, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    turn = Turn()
    assert turn.is_mine()
    valkey.kill()
    assert [turn.is_mine(), turn.is_mine()] == [False, False]
    turn.give_up()
    assert names_of(caplog.records) == ["beat_cannot_ask_for_its_turn", "beat_kept_its_turn"]


def test_a_beat_that_waits_opens_no_schedule_and_one_that_loses_its_turn_closes_it(
    valkey: PrivateValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "schedule"
    turns = iter([False, True, True, False, True])
    monkeypatch.setattr(one_beat.Turn, "is_mine", lambda _turn: next(turns))
    beat = OneBeat(app=app, schedule_filename=str(file))
    opened = []
    for _ in range(5):
        assert beat.tick() <= one_beat.RENEW_SECONDS
        opened.append(beat.is_open)
    beat.close()
    assert opened == [False, True, True, False, True]
    beat.close()


def test_a_beat_that_ends_gives_its_turn_to_the_next(valkey: PrivateValkey, tmp_path: Path) -> None:
    beat, next_one = OneBeat(app=app, schedule_filename=str(tmp_path / "schedule")), Turn()
    beat.tick()
    assert not next_one.is_mine()
    beat.close()
    assert next_one.is_mine()


# --- Real beats ---


class Beat:
    """A real beat with a folder of metrics of its own."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{find_free_port()}"
        self.variables = {
            "REDIS_URL": redis_url,
            "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
            "METRICS_BIND": self.address,
        }
        self.stack = ExitStack()

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "celery", "-A", "amani", "beat", "-s", str(self.folder / "schedule")]
        self.process = self.stack.enter_context(running(command, self.folder / "log", **self.variables))
        assert wait_until(lambda: self.heartbeat() is not None), self.log()

    def heartbeat(self) -> float | None:
        """0: it has not sent; None: it does not answer."""
        try:
            text = requests.get(f"http://{self.address}/metrics", timeout=ANSWER_SECONDS).text
        except requests.RequestException:
            return None
        found = HEARTBEAT.search(text)
        return float(found[1]) if found else None

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.stack.close()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4000:]


@pytest.fixture
def beats(valkey: PrivateValkey, tmp_path: Path) -> Iterator[tuple[Beat, Beat]]:
    first, second = Beat(tmp_path / "first", valkey.url), Beat(tmp_path / "second", valkey.url)
    yield first, second
    first.stack.close()
    second.stack.close()


def sends(beat: Beat, more_than: int = 0) -> bool:
    """Whether it sends: its heartbeat goes on."""
    before = beat.heartbeat() or 0.0
    return wait_until(lambda: (beat.heartbeat() or 0.0) > before + more_than)


def who_sends(one: Beat, other: Beat) -> tuple[Beat, Beat]:
    """The beat that sends, and the one that does not."""
    before = {beat: beat.heartbeat() or 0.0 for beat in (one, other)}
    assert wait_until(lambda: any((beat.heartbeat() or 0.0) > before[beat] for beat in before)), one.log()
    is_first = (one.heartbeat() or 0.0) > before[one]
    return (one, other) if is_first else (other, one)


@pytest.mark.processes
def test_a_beat_that_waits_sends_nothing_until_the_other_was_killed_also_when_redis_starts_anew(
    beats: tuple[Beat, Beat], valkey: PrivateValkey
) -> None:
    first, second = beats
    first.start()
    assert sends(first), first.log()
    second.start()
    assert sends(first, more_than=1), first.log()
    assert second.heartbeat() == 0
    assert second.log().count("beat_waits_for_its_turn") == 1

    valkey.kill()
    valkey.start()
    owner, other = who_sends(first, second)
    before = other.heartbeat()
    assert sends(owner, more_than=2), owner.log()
    assert other.heartbeat() == before

    owner.end(signal.SIGKILL)
    assert sends(other), other.log()
    assert owner.heartbeat() is None
