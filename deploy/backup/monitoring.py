"""Saves Alertmanager's silences and the dashboards that people made in Grafana."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from web import Server

PAGE = 1000


def write_json(target: Path, content: Any) -> None:
    target.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


class Silences:
    """Silences that have not ended. Restored, they have new ids."""

    file = "silences.json"
    kept = ("matchers", "startsAt", "endsAt", "createdBy", "comment", "annotations")

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.server = Server("alertmanager", settings["url"], settings.get("user", ""))

    def current(self) -> list[dict[str, Any]]:
        found = self.server.get("/api/v2/silences")
        alive = [silence for silence in found if silence["status"]["state"] != "expired"]
        return [{name: silence[name] for name in self.kept if name in silence} for silence in alive]

    def save(self, target: Path) -> dict[str, Any]:
        silences = self.current()
        write_json(target, silences)
        return {"silences": len(silences)}

    def obstacle(self, _source: Path) -> str:
        return ""  # nothing is overwritten: those that are there stay

    def restore(self, source: Path, *, over_existing: bool) -> str:
        present = {identity(silence) for silence in self.current()}
        saved: list[dict[str, Any]] = json.loads(source.read_text())
        now = datetime.now(UTC)
        ended = [silence for silence in saved if datetime.fromisoformat(silence["endsAt"]) <= now]
        new = [silence for silence in saved if silence not in ended and identity(silence) not in present]
        for silence in new:
            self.server.post("/api/v2/silences", silence)
        there = len(saved) - len(ended) - len(new)
        return f"{len(new)} silences made, {there} were there, {len(ended)} had ended"


def identity(silence: Mapping[str, Any]) -> str:
    """What stays the same when Alertmanager gives a silence another id and another start."""
    matchers = sorted(json.dumps(matcher, sort_keys=True) for matcher in silence["matchers"])
    return json.dumps([matchers, silence["endsAt"], silence["createdBy"], silence["comment"]])


class Grafana:
    """Dashboards and their folders that were made in Grafana. Provisioned ones are files of the project."""

    file = "grafana.json"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.server = Server("grafana", settings["url"], settings.get("user", ""))

    def found(self, kind: str) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            answer: list[dict[str, Any]] = self.server.get(
                f"/api/search?type={kind}&limit={PAGE}&page={page}"
            )
            yield from answer
            if len(answer) < PAGE:
                return
            page += 1

    def save(self, target: Path) -> dict[str, Any]:
        folders = [
            {"uid": folder["uid"], "title": folder["title"], "parentUid": folder.get("folderUid", "")}
            for folder in self.found("dash-folder")
        ]
        read = [self.server.get(f"/api/dashboards/uid/{quote(one['uid'])}") for one in self.found("dash-db")]
        dashboards = [
            {"dashboard": one["dashboard"], "folderUid": one["meta"].get("folderUid", "")}
            for one in read
            if not one["meta"].get("provisioned")
        ]
        write_json(target, {"folders": folders, "dashboards": dashboards})
        return {"dashboards": len(dashboards), "folders": len(folders)}

    def obstacle(self, source: Path) -> str:
        saved = {one["dashboard"]["uid"] for one in json.loads(source.read_text())["dashboards"]}
        there = saved & {one["uid"] for one in self.found("dash-db")}
        return f"Grafana has the dashboards {', '.join(sorted(there))}" if there else ""

    def restore(self, source: Path, *, over_existing: bool) -> str:
        saved = json.loads(source.read_text())
        there = {one["uid"] for one in self.found("dash-folder")}
        missing = [folder for folder in saved["folders"] if folder["uid"] not in there]
        for folder in from_the_top(missing, there):
            self.server.post("/api/folders", folder)
        for one in saved["dashboards"]:
            dashboard = one["dashboard"] | {"id": None}
            content = {"dashboard": dashboard, "folderUid": one["folderUid"], "overwrite": over_existing}
            self.server.post("/api/dashboards/db", content)
        return f"{len(saved['dashboards'])} dashboards and {len(missing)} folders made"


def from_the_top(folders: list[dict[str, Any]], there: set[str]) -> list[dict[str, Any]]:
    """Orders folders so that each comes after the one that it is in."""
    waiting, ordered, known = list(folders), [], {"", *there}
    while waiting:
        ready = [folder for folder in waiting if folder["parentUid"] in known] or waiting
        ordered += ready
        known |= {folder["uid"] for folder in ready}
        waiting = [folder for folder in waiting if folder not in ready]
    return ordered
