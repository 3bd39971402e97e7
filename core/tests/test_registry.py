from __future__ import annotations

from dataclasses import dataclass

import pytest

from core.registry import Registry


@dataclass(frozen=True)
class Vendor:
    name: str


FIRST, SECOND = Vendor("second"), Vendor("first")
VENDORS: Registry[Vendor] = Registry("vendor", (FIRST, SECOND))


def test_entries_are_found_by_name_and_keep_their_order() -> None:
    assert VENDORS["first"] is SECOND
    assert list(VENDORS) == ["second", "first"]
    assert list(VENDORS.values()) == [FIRST, SECOND]
    assert len(VENDORS) == 2


def test_a_name_that_is_none_is_an_error_that_lists_the_names() -> None:
    assert "third" not in VENDORS
    with pytest.raises(KeyError, match="no vendor 'third'; there are first, second"):
        VENDORS["third"]
