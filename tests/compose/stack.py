"""Starts docker-compose.yml under a project name of its own, and asks what runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.compose_files import ROOT

PROJECT = "amani-stack-test"  # so that its volumes are its own
FILES = ("docker-compose.yml", "tests/compose/receivers.yml")
SCALED = (FILES[0], "deploy/compose.scaled.yml", FILES[1])
PRODUCTION = (FILES[0], "deploy/compose.production.yml")
NEEDED = ("app", "worker", "beat", "prometheus", "alertmanager", "edge", "receiver")
EXPORTERS = ("node-exporter", "redis-exporter", "postgres-exporter")
# Only where their images are there: nothing else depends on them.
WITH_IMAGE_ONLY = ("grafana", "jaeger")
PATIENCE = 900.0  # seconds; a busy machine starts eight replicas in five minutes


def run(*command: str, check: bool = True, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)
    return found


def say(text: str) -> None:
    sys.stdout.write(f"\n  {text}\n")
    sys.stdout.flush()


class Stack:
    def __init__(
        self, files: tuple[str, ...] = FILES, services: tuple[str, ...] = NEEDED, **given: str
    ) -> None:
        """`given`: what else .env would say; the values of .env itself, if there is one, are beside them."""
        self.files, self.given = files, given
        self.services = [*services, *(name for name in WITH_IMAGE_ONLY if self.has_image(name))]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_FILE": ":".join(self.files),
            "COMPOSE_PROFILES": "edge,exporters",
        } | self.given

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Calls `docker-compose`, as the runbook does, where it is there, else `docker compose`."""
        program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
        return run(*program, *arguments, check=check, **self.environment)

    def has_image(self, service: str) -> bool:
        configuration = json.loads(
            subprocess.run(
                ["docker", "compose", "config", "--format", "json"],
                cwd=ROOT,
                env=os.environ | self.environment,
                capture_output=True,
                check=True,
            ).stdout
        )
        image = configuration["services"][service]["image"]
        return "No such image" not in run("docker", "image", "inspect", image, check=False)

    def refuse_to_disturb_another(self) -> None:
        names = run("docker", "ps", "--all", "--format", "{{.Names}}").split()
        taken = {"amani-backend", "amani-prometheus"} & set(names)
        if taken:
            pytest.fail(f"A stack is there already ({', '.join(sorted(taken))}): docker compose down.")

    def start(self, *arguments: str) -> None:
        self.compose("up", "--detach", *arguments, *self.services)
        self.wait_until_healthy()

    def containers(self, *services: str) -> list[str]:
        return self.compose("ps", "--quiet", *services).split()

    def health(self) -> dict[str, str]:
        lines = self.compose("ps", "--format", "{{.Name}} {{.State}} {{.Health}}").splitlines()
        return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}

    def wait_until_healthy(self) -> None:
        def all_healthy() -> bool:
            return all(state in ("running healthy", "running") for state in self.health().values())

        until(all_healthy, "every container is healthy")

    def manage(self, *arguments: str, check: bool = True) -> str:
        return self.compose("exec", "-T", "app", "python", "manage.py", *arguments, check=check)

    def secret(self, name: str) -> str:
        return self.compose("exec", "-T", "app", "cat", f"/run/secrets/{name}").strip()

    def certificate(self, folder: Path) -> str:
        """The file with the certificate that the demo made for itself."""
        file = folder / "edge.crt"
        file.write_text(self.compose("exec", "-T", "edge", "cat", "/run/secrets/tls.crt"))
        return str(file)

    def query(self, statement: str) -> str:
        command = ["exec", "-T", "postgres", "psql", "--username=amani", "-AtX", "--command", statement]
        return self.compose(*command).strip()

    def roles(self) -> str:
        """The roles that Amani's processes are connected as, once one of them is."""
        names = "SELECT string_agg(DISTINCT usename, ',') FROM pg_stat_activity"
        where = "WHERE application_name = 'amani'"
        found: str = until(lambda: self.query(f"{names} {where}"), "a process is connected")
        return found

    def received(self) -> str:
        return self.compose("logs", "--no-log-prefix", "receiver")

    def prometheus(self, query: str) -> list[Any]:
        """What Prometheus answers to `query`."""
        found: list[Any] = self.ask_prometheus("query", query=query)["result"]
        return found

    def ask_prometheus(self, path: str, **parameters: str) -> Any:
        password = self.given.get("PROMETHEUS_PASSWORD")
        login = ("amani", password) if password else None
        address = f"http://localhost:9090/api/v1/{path}"
        return requests.get(address, params=parameters, auth=login, timeout=10).json()["data"]

    def targets(self) -> list[tuple[str, str, str]]:
        """(job, component, health) of each target of Prometheus."""
        found = self.ask_prometheus("targets", state="active")["activeTargets"]
        return sorted(
            (target["labels"]["job"], target["labels"].get("component", ""), target["health"])
            for target in found
        )


@contextmanager
def started(stack: Stack) -> Iterator[Stack]:
    """Builds the image, starts what the stack names, and removes it with its volumes, whatever happened."""
    stack.refuse_to_disturb_another()
    stack.compose("build", "app")
    try:
        stack.start()
        yield stack
    finally:
        stack.compose("--profile", "*", "down", "--volumes")


def lost(stack: Stack, taken: list[str]) -> int:
    stored = set(stack.query("SELECT alertname FROM observability_episode").splitlines())
    return len(set(taken) - stored)


def undelivered(stack: Stack) -> int:
    waiting = (
        "SELECT count(*) FROM observability_delivery d JOIN observability_episode e ON e.id = d.episode_id"
    )
    return int(
        stack.query(
            f"{waiting} WHERE d.state NOT IN ('delivered', 'superseded')"
            " AND e.alertname LIKE 'StackTest%' AND d.channel = 'slack'"
        )
    )
