"""A person leaves: every trace of who they were goes, the row stays for what refers to it.

Other apps say why somebody must stay for now, and delete what they keep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from accounts.models import User

Refuse = Callable[[User], str | None]
Erase = Callable[[User], None]


@dataclass(frozen=True)
class Keeper:
    """What one app has to say when somebody leaves."""

    refuse: Refuse | None
    erase: Erase | None


keepers: dict[str, Keeper] = {}


def register(*, name: str, refuse: Refuse | None = None, erase: Erase | None = None) -> None:
    """Called from an app's `ready()`. Both functions run inside the transaction of the erasure.

    `refuse(person)`: why the account must stay now, as a sentence for the person, else None.
    `erase(person)`: deletes what the app keeps; what lies outside the database goes in `on_commit`.
    """
    keepers[name] = Keeper(refuse, erase)
