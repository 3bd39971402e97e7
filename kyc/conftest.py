"""Rewrites each test file once, in its real process, because most tests submit the same three pictures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from kyc.documents import cleaning


@pytest.fixture(scope="session", autouse=True)
def each_file_is_rewritten_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "remake", cache(cleaning.remake))
        yield
