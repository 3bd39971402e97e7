"""Environments beside .venv: made once, kept, with the reason when they cannot be made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from local import environments
from local.environments import Environment


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """One in a checkout of the test's own, without a package index."""
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setenv("UV_OFFLINE", "1")
    return Environment(".venv-other", tmp_path / "requirements.txt")


def test_an_environment_is_made_and_kept(environment: Environment) -> None:
    environment.requirements.write_text("# nothing\n")
    assert environment.install() == ""
    mark = environment.folder / "mark"
    mark.touch()
    assert environment.install() == ""
    assert mark.exists()
    assert (
        subprocess.run(
            [environment.python, "-c", "import sys; sys.exit(sys.prefix == sys.base_prefix)"]
        ).returncode
        == 0
    )


def test_an_environment_that_cannot_be_made_says_why(environment: Environment) -> None:
    environment.requirements.write_text(f"no-such-package==1 --hash=sha256:{'0' * 64}\n")
    assert "no-such-package" in environment.install()
