"""Commands and tasks are thin: what they do is a function that a test can call without them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings

from core.commands import ReportingCommand

ROOT = Path(settings.BASE_DIR)
APPS = ("amani", "accounts", "kyc", "observability")
COMMANDS = sorted(
    path
    for app in APPS
    for path in (ROOT / app).glob("management/commands/*.py")
    if path.stem not in {"__init__", "migrate"}  # Django's own, with a lock around it
)
TASKS = sorted(
    path for app in APPS for path in (ROOT / app).rglob("tasks.py") if "@shared_task" in path.read_text()
)
LONGEST_TASK = 6  # statements


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", [*COMMANDS, *TASKS], ids=names([*COMMANDS, *TASKS]))
def test_an_entry_point_runs_no_queries_and_no_requests_itself(path: Path) -> None:
    assert not {name for name in imported(path) if name.startswith(("django.db", "requests"))}
    called = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert "objects" not in called


@pytest.mark.parametrize("path", COMMANDS, ids=names(COMMANDS))
def test_every_command_reports_to_programs_too(path: Path) -> None:
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert issubclass(module.Command, ReportingCommand)


@pytest.mark.parametrize("path", TASKS, ids=names(TASKS))
def test_a_task_is_a_few_statements(path: Path) -> None:
    assert [
        function.name
        for function in functions(path)
        if sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1 > LONGEST_TASK
    ] == []
