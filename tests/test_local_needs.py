"""The marker `needs`: skipped with one line where a program is missing, an error under CI."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = """
import pytest

@pytest.mark.needs("no-such-program", "python3")
def test_one():
    raise AssertionError

@pytest.mark.needs("no-such-program")
def test_two():
    raise AssertionError

@pytest.mark.needs("python3")
def test_three(binary):
    assert binary("python3").endswith("/python3")
"""


def run_tests(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_needs.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = needs(*binaries)\n")
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "conftest"]
    command += ["-p", "no:django", "-p", "no:cacheprovider"]
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_needs_a_missing_program_is_skipped_with_one_line(tmp_path: Path) -> None:
    done = run_tests(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed, 2 skipped" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert len(lines) == 1
    assert "no-such-program is not on the PATH" in lines[0]


def test_under_ci_it_is_an_error(tmp_path: Path) -> None:
    done = run_tests(tmp_path, CI="true")
    assert done.returncode == 1, done.stdout
    assert "1 passed, 2 errors" in done.stdout
    assert done.stdout.count("under CI this test may not be skipped") == 2
