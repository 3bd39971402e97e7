"""Fixtures for submissions: rewriting a test file only once, and several processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache

import pytest

from kyc import documents
from kyc.documents import cleaning
from kyc.files import process
from observability.tests.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="session", autouse=True)
def each_file_is_rewritten_once() -> Iterator[None]:
    """Rewrites each test file once, in its real process: most tests submit the same three pictures.

    The process may take its time: how long it waits for a core says how busy the machine is.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "TOTAL_SECONDS", PATIENCE_SECONDS)
        patch.setattr(cleaning, "remake", cache(cleaning.remake))
        yield


@pytest.fixture
def in_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets all threads rewrite images, as if each were in its own process and Redis did not answer."""
    monkeypatch.setattr(documents, "turn", lambda _person_id: nullcontext())
