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
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    return Environment(".venv-other", requirements)


def test_an_environment_is_made_once_for_each_lock_file(environment: Environment) -> None:
    assert environment.install() == ""
    assert Path(environment.python).exists()
    mark = environment.folder / "mark"
    mark.touch()

    assert environment.install() == ""
    assert mark.exists()

    environment.requirements.write_text("# another\n")
    assert environment.install() == ""
    assert not mark.exists()


def test_an_environment_that_cannot_be_installed_says_why_and_tries_again(environment: Environment) -> None:
    environment.requirements.write_text(f"no-such-package==1 --hash=sha256:{'0' * 64}\n")
    for _ in range(2):
        assert environment.install().endswith("No matching distribution found for no-such-package==1")
