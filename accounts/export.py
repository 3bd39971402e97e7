"""Everything that Amani knows about a person, for that person. Each app adds what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accounts.models import User

Collect = Callable[[User], Any]

collectors: dict[str, Collect] = {}


def register(*, name: str, collect: Collect) -> None:
    """`collect(person)` gives what an app keeps about the person, as JSON would show it; `name` is its key.

    Called from an app's `ready()`. Dates may stay dates. Never other people's data, never secrets.
    """
    collectors[name] = collect
