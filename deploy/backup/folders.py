"""Saves folders as tar archives: the encrypted documents, and a snapshot of Prometheus."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from programs import BackupError, read, read_from, write_to
from web import Server

SNAPSHOT = re.compile(r"[0-9A-Za-z-]+")


class Documents:
    """The folder of KYC_STORAGE_ROOT. Its files are encrypted; the keys are not in it."""

    file = "kyc.tar"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.before = list(settings.get("run", []))
        self.before_when_stopped = list(settings.get("run_when_stopped", self.before))
        self.folder = str(settings["folder"])

    def save(self, target: Path) -> dict[str, Any]:
        return self.archive(self.folder, target)

    def archive(self, folder: str, target: Path) -> dict[str, Any]:
        write_to(target, [*self.before, "tar", "-C", folder, "-cf", "-", "."])
        names = read_from(target, ["tar", "-tf", "-"]).splitlines()
        return {"files": sum(not name.endswith("/") for name in names)}

    def obstacle(self, _source: Path) -> str:
        read([*self.before_when_stopped, "mkdir", "-p", self.folder])
        return f"{self.folder} is not empty" if self.entries() else ""

    def entries(self) -> list[str]:
        found = read([*self.before_when_stopped, "ls", "-A", self.folder]).split()
        return [name for name in found if name != "lost+found"]

    def restore(self, source: Path, *, over_existing: bool) -> str:
        read_from(source, [*self.before_when_stopped, "tar", "-C", self.folder, "-xf", "-"])
        return f"files added to those in {self.folder}" if over_existing else f"files put into {self.folder}"


class Prometheus(Documents):
    """A snapshot of all samples, made by the admin API (`--web.enable-admin-api`)."""

    file = "prometheus.tar"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.server = Server("prometheus", settings["url"], settings.get("user", ""))

    def save(self, target: Path) -> dict[str, Any]:
        name = self.server.post("/api/v1/admin/tsdb/snapshot")["data"]["name"]
        if not SNAPSHOT.fullmatch(name):
            raise BackupError(f"Prometheus named its snapshot {name!r}.")
        snapshot = f"{self.folder}/snapshots/{name}"
        try:
            return self.archive(snapshot, target)
        finally:
            read([*self.before, "rm", "-rf", snapshot])

    def obstacle(self, source: Path) -> str:
        if self.server.answers():
            raise BackupError("Prometheus is running: stop it, it would not read what is restored.")
        return super().obstacle(source)
