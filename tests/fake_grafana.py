"""A Grafana over HTTP that keeps folders and dashboards, as the documentation of its API describes."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PASSWORD = "grafana's password"


class FakeGrafana:
    """`dashboards` by uid, as `GET /api/dashboards/uid/…` answers; `folders` by uid."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, Any]] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        grafana = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(lambda: grafana.found(self.path))

            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(lambda: grafana.made(self.path, content))

            def answer(self, look: Any) -> None:
                expected = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
                allowed = self.headers["Authorization"] == f"Basic {expected}"
                status, content = look() if allowed else (401, {"message": "Invalid username or password"})
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def found(self, path: str) -> tuple[int, Any]:
        address = urlsplit(path)
        if address.path == "/api/search":
            asked = parse_qs(address.query)
            return 200, self.search(asked["type"][0]) if asked["page"] == ["1"] else []
        dashboard = self.dashboards.get(address.path.removeprefix("/api/dashboards/uid/"))
        return (200, dashboard) if dashboard else (404, {"message": "Dashboard not found"})

    def search(self, kind: str) -> list[dict[str, Any]]:
        if kind == "dash-db":
            return [{"uid": uid} for uid in self.dashboards]
        return [
            {"uid": uid, "title": folder["title"], "folderUid": folder["parentUid"]}
            for uid, folder in self.folders.items()
        ]

    def made(self, path: str, content: dict[str, Any]) -> tuple[int, Any]:
        if path == "/api/folders":
            if content["parentUid"] not in {"", *self.folders}:
                return 400, {"message": "parent folder not found"}
            self.folders[content["uid"]] = content
            return 200, content
        dashboard = content["dashboard"]
        if dashboard["uid"] in self.dashboards and not content["overwrite"]:
            return 412, {"message": "A dashboard with the same uid already exists"}
        self.dashboards[dashboard["uid"]] = {
            "dashboard": dashboard,
            "meta": {"folderUid": content["folderUid"]},
        }
        return 200, {"status": "success"}
