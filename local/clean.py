"""`make clean`: deletes what `make run` and `make test` keep. Needs no .venv, which goes as well."""

import fcntl
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (
    ".run",
    ".venv",
    ".venv-bench",
    ".venv-bugsink",
    ".venv-mutants",
    "staticfiles",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".import_linter_cache",
)


def refuse_while_running() -> None:
    lock = ROOT / ".run" / "lock"
    if not lock.exists():
        return
    with lock.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit("Amani runs from this checkout: stop it first.")


def main() -> None:
    refuse_while_running()
    # A database that root could not keep in the checkout: local/placement.py.
    for location in (ROOT / ".run").glob("**/postgres/location"):
        shutil.rmtree(location.read_text().strip(), ignore_errors=True)
    for name in FOLDERS:
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for cache in [path for path in ROOT.glob("**/__pycache__") if ".venv" not in path.parts]:
        shutil.rmtree(cache, ignore_errors=True)


if __name__ == "__main__":
    main()
