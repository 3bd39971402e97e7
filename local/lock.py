"""Lock the requirements with uv: `python -m local.lock write [--upgrade]` or `python -m local.lock check`.

The header of each lock file is the command that made it, which Renovate reads.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = str(Path(sys.executable).with_name("uv"))
# In this order: those after the first may be constrained by it.
NAMES = (
    "requirements",
    "requirements-dev",
    "benchmarks/requirements-peer",
    "tests/stack/requirements-bugsink",
    "local/requirements-mutants",
)
OPTIONS = ("--universal", "--python-version=3.11", "--generate-hashes", "--quiet")
ADDRESS = re.compile(r"https?://|--(?:extra-)?index-url|--find-links|@ file:")


def compile_lock(name: str, folder: Path, extra: tuple[str, ...] = ()) -> str:
    """Compile `name`.in to `name`.txt below `folder`. Returns why that failed; empty when it did not."""
    file = folder / name
    command = [UV, "pip", "compile", f"{file.name}.in", f"--output-file={file.name}.txt", *OPTIONS, *extra]
    done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip()


def address_in(lock: str) -> str | None:
    """Return the first line that names a place to download from: a lock file must work with any index."""
    return next((line for line in lock.splitlines() if ADDRESS.search(line)), None)


def write(*extra: str) -> str:
    """Compile each lock file in its place, keeping the locked versions that still fit."""
    for name in NAMES:
        failure = compile_lock(name, ROOT, extra)
        if failure:
            return failure
    return ""


def check() -> str:
    """Compile copies of the lock files. Returns what differs from the files that are there; empty if nothing.

    Without the package index this cannot be known, which fails under CI only.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
            for suffix in ("in", "txt"):
                shutil.copy(ROOT / f"{name}.{suffix}", Path(folder) / f"{name}.{suffix}")
        for name in NAMES:
            lock = (ROOT / f"{name}.txt").read_text()
            address = address_in(lock)
            if address:
                return f"{name}.txt names a download address: {address.strip()}"
            failure = compile_lock(name, Path(folder))
            if failure and not os.environ.get("CI"):
                print(f"{name}.txt was not checked: {failure.splitlines()[-1].strip()}")
            elif failure:
                return f"{name}.in could not be compiled: {failure}"
            elif (Path(folder) / f"{name}.txt").read_text() != lock:
                return f"{name}.txt is not what {name}.in asks for: run `make lock`."
    return ""


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    sys.exit({"write": write, "check": check}[command](*arguments) or None)
