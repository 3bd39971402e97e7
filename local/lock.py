"""Locked requirements: `python -m local.lock write|check`.

`check` compiles the .in files once more, preferring what is locked, and wants no difference. Without the
package index it only compares names and versions with them; under CI that is not enough.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
# In this order: those after the first may be constrained by it.
NAMES = (
    "requirements",
    "requirements-dev",
    "benchmarks/requirements-peer",
    "tests/stack/requirements-bugsink",
)
OPTIONS = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--quiet")
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*])?==([^ ;\\]+)", re.MULTILINE)
ADDRESS = re.compile(r"https?://|--(?:extra-)?index-url|--find-links|@ file:")


def compile_lock(name: str, folder: Path, extra: tuple[str, ...] = ()) -> str | None:
    """Compile `name`.in to `name`.txt below `folder`. None, or why it failed."""
    uv = str(Path(sys.executable).with_name("uv"))
    file = folder / name
    command = [uv, "pip", "compile", f"{file.name}.in", "-o", f"{file.name}.txt", *OPTIONS, *extra]
    done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip()


def address_in(lock: str) -> str | None:
    """The first line that names a place to download from; a lock file must work with any index."""
    return next((line for line in lock.splitlines() if ADDRESS.search(line)), None)


def unmet(wanted: str, lock: str) -> list[str]:
    """The lines of a .in file that its lock file does not satisfy."""
    pinned: dict[str, Version] = {
        canonicalize_name(name): Version(version) for name, version in PINNED.findall(lock)
    }
    lines = [line.split("#")[0].strip() for line in wanted.splitlines()]
    requirements = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return [str(requirement) for requirement in requirements if not satisfied(requirement, pinned)]


def satisfied(requirement: Requirement, pinned: dict[str, Version]) -> bool:
    version = pinned.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def check_without_index(reason: str) -> str | None:
    if os.environ.get("CI"):
        return f"The requirements could not be compiled: {reason}"
    print(f"Without the package index only names and versions were compared ({reason.splitlines()[-1]}).")
    for name in NAMES:
        lacking = unmet((ROOT / f"{name}.in").read_text(), (ROOT / f"{name}.txt").read_text())
        if lacking:
            return f"{name}.txt lacks {', '.join(lacking)}: run `make lock`."
    return None


def check(folder: Path) -> str | None:
    """None, or what is wrong with the lock files."""
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("in", "txt"):
            shutil.copy(ROOT / f"{name}.{suffix}", folder / f"{name}.{suffix}")
    for name in NAMES:
        lock = (ROOT / f"{name}.txt").read_text()
        address = address_in(lock)
        if address:
            return f"{name}.txt names a download address: {address.strip()}"
        failure = compile_lock(name, folder)
        if failure:
            return check_without_index(failure)
        if (folder / f"{name}.txt").read_text() != lock:
            return f"{name}.txt is not what {name}.in asks for: run `make lock`."
    return None


def write(extra: tuple[str, ...]) -> str | None:
    for name in NAMES:
        failure = compile_lock(name, ROOT, extra)
        if failure:
            return failure
    return None


def main(arguments: list[str]) -> str | None:
    if arguments[:1] == ["write"]:
        return write(tuple(arguments[1:]))
    with tempfile.TemporaryDirectory() as folder:
        return check(Path(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
