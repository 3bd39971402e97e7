"""A backup is a folder with a manifest. It has its name only when it is complete on the disk.

/var/backups/amani/amani-20261126T113000Z/manifest.json   format, version, time, and for each file its SHA-256
                                         /postgresql.dump …
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from programs import BackupError

FORMAT = 1
MANIFEST = "manifest.json"
NAME = re.compile(r"amani-\d{8}T\d{6}Z")
VERSION = re.compile(r'^VERSION = "([^"]+)"', re.MULTILINE)
KEPT_ELSEWHERE = {
    "ENCRYPTION_KEYS": "without them no document, number, second factor or waiting mail can be read",
    "KYC_SEARCH_KEY": "without it a document that is used for a second account is not recognised",
    "SECRET_KEY": "without it everybody has to sign in again",
}


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lets one backup at a time write into the folder, and deletes what a killed one left."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BackupError(f"Another backup is being written into {folder}.") from None
        for leftover in folder.glob(".amani-*.partial"):
            shutil.rmtree(leftover)
        yield


@contextmanager
def draft_in(folder: Path) -> Iterator[Path]:
    """Gives a folder to fill. It gets its name when the block ends, and is deleted if that fails."""
    name = f"amani-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    draft, final = folder / f".{name}.partial", folder / name
    draft.mkdir(mode=0o700)
    try:
        yield draft
        for path in [*draft.iterdir(), draft]:
            sync(path)
        if final.exists():
            raise BackupError(f"{final} exists.")
        draft.rename(final)
        sync(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_manifest(folder: Path, parts: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str]) -> None:
    manifest = {
        "format": FORMAT,
        "amani": amani_version(),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "parts": {name: {**facts, **facts_of(folder / facts["file"])} for name, facts in parts.items()},
        "failed": dict(failed),
        "kept_elsewhere": KEPT_ELSEWHERE,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def amani_version() -> str:
    settings = Path(__file__).resolve().parents[2] / "amani" / "settings.py"
    found = VERSION.search(settings.read_text()) if settings.exists() else None
    return found[1] if found else "unknown"


def facts_of(file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"sha256": digest, "bytes": file.stat().st_size}


def verified(backup: Path) -> dict[str, Any]:
    """Returns the manifest of a backup whose files are all there and unchanged. Raises BackupError."""
    try:
        manifest: dict[str, Any] = json.loads((backup / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise BackupError(f"{backup} is no complete backup: {MANIFEST}: {error}.") from error
    if manifest.get("format") != FORMAT:
        raise BackupError(f"{backup} has format {manifest.get('format')}; this program reads {FORMAT}.")
    for name, facts in manifest["parts"].items():
        try:
            found = facts_of(backup / facts["file"])
        except OSError as error:
            raise BackupError(f"{name}: {facts['file']}: {error.strerror}.") from error
        if found != {key: facts[key] for key in found}:
            raise BackupError(f"{name}: {facts['file']} is not what was saved (its checksum differs).")
    return manifest


def delete_old(folder: Path, keep: int) -> list[str]:
    """Deletes all but the newest `keep` backups in the folder, and returns their names."""
    names = sorted(path.name for path in folder.iterdir() if NAME.fullmatch(path.name))
    old = names[:-keep] if keep else []
    for name in old:
        shutil.rmtree(folder / name)
    return old
