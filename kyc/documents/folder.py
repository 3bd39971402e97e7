"""Stores encrypted files in a folder so that a saved file survives a power failure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

from django.core.files.storage import FileSystemStorage


class DurableFolder(FileSystemStorage):
    """FileSystemStorage whose `save` returns after fsync: only then may a row refer to the file."""

    def _save(self, name: str, content: IO[Any]) -> str:
        saved: str = super()._save(name, content)  # type: ignore[misc]  # in Django's documents, not in its stubs
        file = Path(self.path(saved))
        sync(file)
        for folder in (file.parent, *file.parent.parents):  # a new folder is an entry in its parent
            if not folder.is_relative_to(self.location):
                break
            sync(folder)
        return saved


def sync(path: Path) -> None:
    """Writes a file or folder to the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
