"""A folder for encrypted files that a power cut leaves as they were promised."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

from django.core.files.storage import FileSystemStorage


class DurableFolder(FileSystemStorage):
    """Django's, but `save` returns when the disk has the file: a row may name it only then."""

    def _save(self, name: str, content: IO[Any]) -> str:
        saved: str = super()._save(name, content)  # type: ignore[misc]  # in Django's documents, not in its stubs
        file = Path(self.path(saved))
        reach_the_disk(file)
        for folder in (file.parent, *file.parent.parents):  # a folder that was just made is a name in another
            if not folder.is_relative_to(self.location):
                break
            reach_the_disk(folder)
        return saved


def reach_the_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
