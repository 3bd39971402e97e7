"""Asks Prometheus, Alertmanager and Grafana over HTTP, with what each needs to let us in."""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from programs import BackupError

SECONDS = 600  # a snapshot of a large Prometheus takes minutes


class Server:
    """`name` in capitals begins the variables of its secrets: GRAFANA_PASSWORD, GRAFANA_TOKEN, …_FILE."""

    def __init__(self, name: str, url: str, user: str) -> None:
        self.url = url.rstrip("/")
        self.headers = {"Accept": "application/json", **authorization(name.upper(), user)}

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def post(self, path: str, content: Any = None) -> Any:
        return self.ask("POST", path, content)

    def ask(self, method: str, path: str, content: Any = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        headers = self.headers | ({"Content-Type": "application/json"} if body else {})
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            said = " ".join(error.read(400).decode(errors="replace").split())
            raise BackupError(f"{method} {self.url}{path} answered {error.code}: {said}") from error
        except (OSError, ValueError) as error:
            raise BackupError(f"{method} {self.url}{path}: {error}") from error

    def answers(self) -> bool:
        """Whether a server is there, also one that does not let us in."""
        try:
            self.get("/api/v1/status/buildinfo")
        except BackupError as problem:
            return isinstance(problem.__cause__, urllib.error.HTTPError)
        return True


def authorization(name: str, user: str) -> dict[str, str]:
    token = secret(f"{name}_TOKEN")
    if token:
        return {"Authorization": f"Bearer {token}"}
    if not user:
        return {}
    password = secret(f"{name}_PASSWORD")
    if not password:
        raise BackupError(f"{name}_PASSWORD or {name}_PASSWORD_FILE must be set: the password of {user}.")
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def secret(variable: str) -> str:
    """Returns the variable, or what is in the file that `…_FILE` names."""
    path = os.environ.get(f"{variable}_FILE")
    if path and not os.environ.get(variable):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise BackupError(f"{variable}_FILE: {path}: {error.strerror}.") from error
    return os.environ.get(variable, "")
