"""The vendors that an app knows, by name: one line for each, and a clear error for a name that is none.

How an app uses it:

    PROVIDERS: Registry[Provider] = Registry("provider", (Manual(), Paystack()))
    PROVIDERS["paystack"]                 # KeyError names the ones there are
    name in PROVIDERS; list(PROVIDERS); PROVIDERS.values()
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeVar


class Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Registry(Mapping[str, T]):
    def __init__(self, kind: str, entries: Iterable[T]) -> None:
        """`kind`: what the entries are called in an error."""
        self._kind = kind
        self._entries = {entry.name: entry for entry in entries}

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            names = ", ".join(sorted(self._entries))
            raise KeyError(f"no {self._kind} {name!r}; there are {names}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
