"""Compiles what the workers of a test run import, once, before they begin.

pytest rewrites the asserts of a test module and keeps the result beside it, as Python keeps what it compiles.
On a new checkout nothing is kept: workers that begin together would each make all of it (ten seconds of
processor time).
"""

import compileall
import os
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

from _pytest.assertion import rewrite  # pytest has no public way to do this before an import
from _pytest.config import Config

ROOT = Path(__file__).resolve().parent.parent


def modules(config: Config) -> Iterator[Path]:
    """Yields those of the packages that hold tests."""
    for package in config.getini("testpaths"):
        yield from (ROOT / package).rglob("*.py")


def compile_tests(config: Config) -> None:
    """Compiles what changed since it was compiled, with a process for each core."""
    paths = list(modules(config))
    workers = [
        get_context("fork").Process(target=compile_all, args=(paths[first :: os.cpu_count() or 1], config))
        for first in range(os.cpu_count() or 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def compile_all(paths: list[Path], config: Config) -> None:
    for path in paths:
        if path.name.startswith("test_") or path.name == "conftest.py":
            rewrite_asserts(path, config)
        else:
            compileall.compile_file(path, quiet=2)


def rewrite_asserts(path: Path, config: Config) -> None:
    """Keeps the module as pytest will look for it. Does nothing if it is kept, or cannot be compiled."""
    kept = rewrite.get_cache_dir(path) / f"{path.stem}{rewrite.PYC_TAIL}"
    if rewrite._read_pyc(path, kept) is None:  # noqa: SLF001
        source_hash, code = rewrite._rewrite_test(path, config)  # noqa: SLF001
        kept.parent.mkdir(exist_ok=True)
        rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, source_hash, kept)  # noqa: SLF001
