"""The contract against import circles finds them, also those that a function hides."""

from __future__ import annotations

import sys
from pathlib import Path

import grimp
import pytest

from local.import_circles import NoCircles, circles


def test_modules_without_a_circle_are_fine() -> None:
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_every_circle_is_found_with_the_imports_that_make_it() -> None:
    found = circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a"}})
    assert sorted(sorted(set(circle)) for circle in found) == [["a", "b", "c"], ["d", "e"]]
    assert all(circle[0] == circle[-1] for circle in found)


def test_a_circle_within_functions_breaks_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lazy_circle"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "doorbell.py").write_text("def ring():\n    from lazy_circle import tasks\n")
    (package / "tasks.py").write_text("from lazy_circle import doorbell\n")
    monkeypatch.syspath_prepend(tmp_path)
    graph = grimp.build_graph("lazy_circle", cache_dir=None)
    sys.modules.pop("lazy_circle", None)
    contract = NoCircles(name="no circles", session_options={}, contract_options={})
    checked = contract.check(graph, verbose=False)
    assert not checked.kept
    (circle,) = checked.metadata["circles"]
    assert sorted(set(circle)) == ["lazy_circle.doorbell", "lazy_circle.tasks"]
