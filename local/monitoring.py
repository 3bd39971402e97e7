"""Prometheus and Alertmanager of `make run`: which of them are there, deploy/ with this run's ports."""

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from local.configuration import ROOT, RUN, Configuration

# The name on the PATH: upstream's, then Debian's.
PROGRAMS = {"prometheus": ("prometheus",), "alertmanager": ("alertmanager", "prometheus-alertmanager")}
DEBIAN_PACKAGES = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}


EXEMPLARS = "--enable-feature=exemplar-storage"  # keeps the trace ids that /metrics gives
RELOADED = "--web.enable-lifecycle"  # Amani has it load the rules that it publishes
RULES = RUN / "prometheus" / "rules"
PUBLISHED = "amani.yml"


def find_program(name: str) -> str | None:
    return next((path for path in map(shutil.which, PROGRAMS[name]) if path), None)


def settings() -> dict[str, str]:
    """What Amani needs to publish rules to this Prometheus; nothing where none is installed."""
    if find_program("prometheus") is None:
        return {}
    RULES.mkdir(parents=True, exist_ok=True)
    return {"ALERT_RULES_FOLDER": str(RULES)}


def how_to_get(name: str) -> str:
    package = DEBIAN_PACKAGES[name]
    how = f"Debian: apt-get install {package}; macOS: brew install {name}"
    return f"{name} is not running: it is not on the PATH ({how})."


def with_ports(text: str, ports: Mapping[str, int]) -> str:
    """All at once: a port that was put in must not be replaced again."""
    pattern = re.compile("|".join(re.escape(f"localhost:{port}") for port in ports))
    return pattern.sub(lambda match: f"localhost:{ports[match[0].removeprefix('localhost:')]}", text)


# Alertmanager's files, and the variables of Amani that they hold.
SECRETS = {
    "alert_webhook_token": "ALERT_WEBHOOK_TOKEN",
    "slack_webhook_url": "SLACK_WEBHOOK_URL",
    "pagerduty_api_key": "PAGERDUTY_API_KEY",
}


def with_pagerduty_url(text: str, url: str) -> str:
    """Alertmanager's PagerDuty is Amani's: a region's own address, or the inbox."""
    return text.replace("\nglobal:\n", f"\nglobal:\n  pagerduty_url: {json.dumps(url)}\n") if url else text


def render(name: str, configuration: Configuration, pagerduty_url: str = "") -> Path:
    """Copy deploy/`name`/*.yml to .run/`name`; returns that folder.

    The rules are copied as well, where Amani does not publish them into that folder.
    """
    ports = {
        "8000": configuration.port,
        "9090": configuration.prometheus_port,
        "9093": configuration.alertmanager_port,
    }
    origin, folder = ROOT / "deploy" / name, RUN / name
    # Prometheus loads every file in there: one that was removed from deploy/ would go on, and beside the
    # published file every rule would run twice.
    is_published = not configuration.is_given("ALERT_RULES_FOLDER")
    for old in (folder / "rules").glob("*.yml"):
        if not (is_published and old.name == PUBLISHED):
            old.unlink()
    for source in (*origin.glob("*.yml"), *([] if is_published else origin.glob("rules/*.yml"))):
        text = with_ports(source.read_text(), ports)
        if name == "alertmanager":
            text = with_pagerduty_url(text, pagerduty_url)
        target = folder / source.relative_to(origin)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return folder


def write_secrets(folder: Path, value_of: Callable[[str], str]) -> None:
    """A secret that is not set has no file: Alertmanager then fails that send only."""
    secrets = folder / "secrets"
    shutil.rmtree(secrets, ignore_errors=True)
    secrets.mkdir(mode=0o700)
    for name, variable in SECRETS.items():
        value = value_of(variable)
        if value:
            (secrets / name).touch(mode=0o600)
            (secrets / name).write_text(value)


def environment() -> dict[str, str]:
    """None of Amani's variables: a DEBUG among them makes Alertmanager's API library print its own code."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "TZ") if name in os.environ}


def port_of(name: str, configuration: Configuration) -> int:
    return configuration.prometheus_port if name == "prometheus" else configuration.alertmanager_port


def address(name: str, configuration: Configuration) -> str:
    return f"http://localhost:{port_of(name, configuration)}/"


def command(name: str, program: str, folder: Path, configuration: Configuration) -> list[str]:
    storage = "--storage.tsdb.path" if name == "prometheus" else "--storage.path"
    arguments = [
        f"--config.file={folder / f'{name}.yml'}",
        f"{storage}={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port_of(name, configuration)}",
        f"--web.external-url={address(name, configuration)}",
        "--log.level=warn",
    ]
    if name == "prometheus":
        return [program, *arguments, EXEMPLARS, RELOADED]
    # An empty address turns the cluster off: it would listen on every interface.
    return [program, *arguments, "--cluster.listen-address="]
