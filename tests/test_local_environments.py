"""Environments beside .venv: made once, anew when their lock file changes, honest when they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import environments
from local.environments import Environment


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """One in a checkout of the test's own, without a package index."""
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return Environment(".venv-other", tmp_path / "requirements.txt")


def test_an_environment_is_made_once_for_each_lock_file(environment: Environment) -> None:
    environment.requirements.write_text(f"no-such-package==1 --hash=sha256:{'0' * 64}\n")
    assert environment.install().endswith("No matching distribution found for no-such-package==1")
    assert not environment.is_current()

    environment.requirements.write_text("# nothing\n")
    assert environment.install() == ""
    mark = environment.folder / "mark"
    mark.touch()
    assert environment.install() == ""
    assert mark.exists()

    environment.requirements.write_text("# nothing, in other words\n")
    assert not environment.is_current()
