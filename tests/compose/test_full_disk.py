"""PostgreSQL's disk is full for a while, under load: an outage with a clear answer, that ends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.compose.load import Load
from tests.compose.stack import FILES, NEEDED, Stack, lost, say, started, undelivered, until

EDGE = "https://localhost:8443"
SMALL_DISK = (*FILES, "tests/compose/small_disk.yml")
NO_SPACE = "No space left on device"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with started(Stack(SMALL_DISK, (*NEEDED, "disk"))) as stack:
        yield stack


def test_a_full_disk_is_an_outage_that_ends_with_it(stack: Stack, tmp_path: Path) -> None:
    with Load(EDGE, stack.secret("alert_webhook_token"), stack.certificate(tmp_path)) as load:
        load.wait_for(20, "webhooks before the disk is full")
        assert NO_SPACE in fill(stack)
        until(lambda: load.failed, "a webhook is refused")
        assert NO_SPACE in until(lambda: refusal(stack), "PostgreSQL says why")
        stack.compose("exec", "-T", "disk", "rm", "/disk/filler")
        load.wait_for(len(load.taken) + 20, "webhooks after there is space again")
        stack.wait_until_healthy()
    say(f"full disk: {len(load.taken)} webhooks taken, {len(load.failed)} refused")
    assert set(load.failed) <= {"POST 503", "GET 503"}
    assert lost(stack, load.taken) == 0
    until(lambda: undelivered(stack) == 0, "what was stored is delivered")
    until(lambda: health() == "ok", "health says that all is well again")


def fill(stack: Stack) -> str:
    """Fills the disk to its last byte; returns what `dd` said when there was no more."""
    return stack.compose(
        "exec", "-T", "disk", "dd", "if=/dev/zero", "of=/disk/filler", "bs=4096", check=False
    )


def refusal(stack: Stack) -> str:
    said = stack.compose("logs", "--no-log-prefix", "postgres")
    return said if NO_SPACE in said else ""


def health() -> str:
    answer = requests.get("http://localhost:8000/api/v1/health", timeout=30)
    return str(answer.json()["status"])
