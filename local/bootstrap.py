"""Make .venv and install the locked requirements, when they changed.

Runs on whatever Python the machine has, so that an old one gets a clear line: no newer syntax, no imports
beyond the standard library.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "amani-requirements"
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")


def use_new_enough_python() -> None:
    if sys.version_info >= OLDEST:
        return
    for name in ("python3.13", "python3.12", "python3.11"):
        found = shutil.which(name)
        if found:
            os.execv(found, [found, *sys.argv])
    found = ".".join(str(part) for part in sys.version_info[:3])
    sys.exit(
        f"Amani needs Python 3.11 or newer; {sys.executable} is {found}. "
        "Install one, or name it: make PYTHON=/path/to/python3.11 run"
    )


def require_venv_module() -> None:
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit("This Python cannot make virtual environments. On Debian: apt-get install python3-venv")


def wanted_state() -> str:
    """Two lines: where and with which Python, then the requirements."""
    # The scripts in .venv name their own path: a checkout that moved starts anew.
    place = f"{sys.version} {VENV}".replace("\n", " ")
    requirements = b"".join((ROOT / name).read_bytes() for name in REQUIREMENTS)
    return f"{place}\n{hashlib.sha256(requirements).hexdigest()}\n"


def present_state() -> str:
    usable = (VENV / "bin" / "python").exists() and STAMP.exists()
    return STAMP.read_text() if usable else ""


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode != 0:
        sys.exit(f"This failed, its reason is above: {' '.join(command)}")


def install() -> None:
    """Install uv with pip, then everything with uv; what is no longer locked is removed."""
    print("Installing the locked requirements into .venv ...", flush=True)
    python = str(VENV / "bin" / "python")
    if present_state().splitlines()[:1] != wanted_state().splitlines()[:1]:
        run(sys.executable, "-m", "venv", "--clear", str(VENV))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as only_uv:
        only_uv.write(locked_uv())
        only_uv.flush()
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        run(*pip, "-r", only_uv.name)
    run(
        str(VENV / "bin" / "uv"),
        "pip",
        "sync",
        "--quiet",
        "--compile-bytecode",  # once, and not by each of several processes that start together
        "--python",
        python,
        "--require-hashes",
        *REQUIREMENTS,
    )
    STAMP.write_text(wanted_state())


def locked_uv() -> str:
    """Return the lines of uv in requirements-dev.txt: its version and its hashes."""
    found = re.search(
        r"^uv==[^\\\n]*(?:\\\n[^\\\n]*)+", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE
    )
    if found is None:
        sys.exit("requirements-dev.txt has no line `uv==…` with hashes: run `make lock`.")
    return found[0]


def main() -> None:
    use_new_enough_python()
    if present_state() == wanted_state():
        return
    require_venv_module()
    install()


if __name__ == "__main__":
    main()
