"""Keeps the published rule file in the folder that Prometheus reads. At every moment it has one whole file.

A reader sees the old file or the new one: the new one is written beside it, to the disk, under a name that no
pattern `*.yml` matches, and takes its place by one rename. What a killed process left is written over.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from observability.rules.publication.errors import TryLater
from observability.rules.render import FILE

UNFINISHED = f"{FILE}.unfinished"


def read(folder: Path) -> dict[str, str]:
    """Returns name and text of Amani's file; nothing if there is none. Raises TryLater."""
    try:
        return {FILE: (folder / FILE).read_text()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise TryLater(f"{folder / FILE} cannot be read: {reason(problem)}.") from problem


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Makes the folder have these files, at once; without any, Amani's is removed. Raises TryLater."""
    try:
        if FILE in files:
            write_file(folder, files[FILE])
        else:
            (folder / FILE).unlink(missing_ok=True)
        to_disk(folder)
    except OSError as problem:
        raise TryLater(f"{folder / FILE} cannot be written: {reason(problem)}.") from problem


def write_file(folder: Path, text: str) -> None:
    unfinished = folder / UNFINISHED
    with unfinished.open("w") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), 0o644)  # Prometheus is another user
        os.fsync(file.fileno())
    unfinished.replace(folder / FILE)


def to_disk(folder: Path) -> None:
    """Has the rename survive a power failure: it is a change of the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or type(problem).__name__
