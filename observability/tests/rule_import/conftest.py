"""Fixtures of the tests of importing: who imports, a folder of rule files, and the import itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from observability.rules.importing import Imported, import_rules
from observability.tests.prometheus_stand_in import PrometheusStandIn, success
from observability.tests.rule_import.content import Content, as_yaml


@pytest.fixture(autouse=True)
def no_prometheus(settings: Any) -> None:
    settings.PROMETHEUS_URL = "http://127.0.0.1:9"


@pytest.fixture
def prometheus(settings: Any, no_prometheus: None) -> Iterator[PrometheusStandIn]:
    """A Prometheus that accepts each expression."""
    stand_in = PrometheusStandIn()
    stand_in.replies["format_query"] = success("")
    settings.PROMETHEUS_URL = stand_in.url
    yield stand_in
    stand_in.close()


@pytest.fixture
def approver(operator: Callable[..., Any]) -> Any:
    return operator("approver")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    git = tmp_path / "git"
    git.mkdir()
    return git


@pytest.fixture
def from_git(folder: Path, approver: Any) -> Callable[..., Imported]:
    """`from_git()` imports the folder; with content, that content."""

    def imported(content: Content | None = None, **options: Any) -> Imported:
        if content is not None:
            (folder / "rules.yml").write_text(as_yaml(content))
        return import_rules(folder, **({"actor": approver, "reason": "As in git."} | options))

    return imported
