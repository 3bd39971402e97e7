"""Saves and restores what Amani and its monitoring keep: `python3 deploy/backup --help`.

    python3 deploy/backup save deploy/backup/compose.toml /var/backups/amani --keep 14
    python3 deploy/backup verify /var/backups/amani/amani-20261126T113000Z
    python3 deploy/backup restore deploy/backup/compose.toml /var/backups/amani/amani-20261126T113000Z

Needs Python 3.11 and nothing else, so that it runs on a machine that has only Docker, and on one where
Amani's own environment is lost.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import store
from folders import Documents, Prometheus
from monitoring import Grafana, Silences
from postgresql import PostgreSQL
from programs import BackupError


class Part(Protocol):
    """One thing that is saved into one file."""

    file: str

    def save(self, target: Path) -> dict[str, Any]:
        """Write the file and return facts for the manifest."""

    def obstacle(self, _source: Path) -> str:
        """Say what a restore would overwrite; "" if nothing."""

    def restore(self, source: Path, *, over_existing: bool) -> str:
        """Restore the file and say what was done."""


# In the order in which they are saved: files after the rows that name them.
PARTS: dict[str, Callable[[Mapping[str, Any]], Part]] = {
    "postgresql": PostgreSQL,
    "kyc": Documents,
    "alertmanager": Silences,
    "grafana": Grafana,
    "prometheus": Prometheus,
}


def main() -> int:
    os.umask(0o077)
    arguments = parsed()
    try:
        match arguments.command:
            case "save":
                return save(configured(arguments.configuration), arguments.folder, arguments.keep)
            case "restore":
                return restore(
                    configured(arguments.configuration),
                    arguments.backup,
                    arguments.part,
                    force=arguments.force,
                )
            case _:
                return verify(arguments.backup)
    except (BackupError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy/backup", description="Back up and restore Amani.")
    commands = parser.add_subparsers(dest="command", required=True)
    save = commands.add_parser("save", help="make a new backup in a folder")
    save.add_argument("configuration", type=Path, help="what to save: compose.toml or one like it")
    save.add_argument("folder", type=Path)
    save.add_argument("--keep", type=positive, default=14, help="older backups are deleted (default: 14)")
    restore = commands.add_parser("restore", help="restore a backup")
    restore.add_argument("configuration", type=Path)
    restore.add_argument("backup", type=Path)
    restore.add_argument("--part", action="append", choices=PARTS, help="only this one; may be repeated")
    restore.add_argument("--force", action="store_true", help="also over what is there")
    verify = commands.add_parser("verify", help="are all files of a backup there and unchanged?")
    verify.add_argument("backup", type=Path)
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def configured(path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        settings = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BackupError(f"{path}: {error}") from error
    unknown = sorted(settings.keys() - PARTS)
    if unknown or not settings:
        raise BackupError(f"{path} must have sections of {', '.join(PARTS)}; it has {unknown or 'none'}.")
    return settings


def part(name: str, settings: Mapping[str, Mapping[str, Any]]) -> Part:
    if name not in settings:
        raise BackupError(f"{name} is not in the configuration.")
    try:
        return PARTS[name](settings[name])
    except KeyError as error:
        raise BackupError(f"[{name}] needs {error}.") from None


def save(settings: Mapping[str, Mapping[str, Any]], folder: Path, keep: int) -> int:
    """Saves every part, also when one fails: then the backup says so, and nothing old is deleted."""
    saved: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    with store.alone_in(folder):
        with store.draft_in(folder) as draft:
            for name in [name for name in PARTS if name in settings]:
                try:
                    one = part(name, settings)
                    saved[name] = {"file": one.file, **one.save(draft / one.file)}
                except (BackupError, OSError) as error:
                    failed[name] = str(error)
                    print(f"{name}: NOT saved: {error}", file=sys.stderr)
                else:
                    print(f"{name}: {described(saved[name])}")
            if not saved:
                raise BackupError("Nothing was saved.")
            store.write_manifest(draft, saved, failed)
        for name in [name for name in PARTS if name not in settings]:
            print(f"{name}: not in the configuration")
        print(f"Saved to {folder / draft.name.removeprefix('.').removesuffix('.partial')}.")
        print(f"Not in it, keep elsewhere: {', '.join(store.KEPT_ELSEWHERE)}.")
        if failed:
            return 1
        for name in store.delete_old(folder, keep):
            print(f"Deleted {name}.")
    return 0


def verify(backup: Path) -> int:
    manifest = store.verified(backup)
    print(f"Made {manifest['made_at']} by Amani {manifest['amani']}, complete and unchanged:")
    for name, facts in manifest["parts"].items():
        print(f"{name}: {described(facts)}")
    for name, reason in manifest["failed"].items():
        print(f"{name}: NOT saved: {reason}")
    return 1 if manifest["failed"] else 0


def restore(
    settings: Mapping[str, Mapping[str, Any]], backup: Path, only: list[str] | None, *, force: bool
) -> int:
    """Changes nothing unless the backup is unchanged and nothing stands in the way of any part."""
    manifest = store.verified(backup)
    names = only or [name for name in PARTS if name in manifest["parts"]]
    absent = [name for name in names if name not in manifest["parts"]]
    if absent:
        raise BackupError(f"The backup has no {', '.join(absent)}.")
    parts = {name: part(name, settings) for name in names}
    files = {name: backup / manifest["parts"][name]["file"] for name in names}
    obstacles = {name: parts[name].obstacle(files[name]) for name in names}
    there = [f"{name}: {obstacle}" for name, obstacle in obstacles.items() if obstacle]
    if there and not force:
        raise BackupError("\n".join([*there, "Nothing was changed. --force restores over it."]))
    for name in names:
        said = parts[name].restore(files[name], over_existing=bool(obstacles[name]))
        print(f"{name}: {said}")
    return 0


def described(facts: Mapping[str, Any]) -> str:
    counted = [f"{value} {name}" for name, value in facts.items() if name not in ("file", "sha256", "bytes")]
    return f"{', '.join(counted)} in {facts['file']}"


if __name__ == "__main__":
    sys.exit(main())
