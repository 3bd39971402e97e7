"""What docker-compose.yml and its production file say, read once for the tests."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker-compose.yml"
PRODUCTION = ROOT / "deploy" / "compose.production.yml"
FILES = (COMPOSE, PRODUCTION, ROOT / "deploy" / "compose.scaled.yml")
ONE_SHOTS = {"secrets", "migrate"}
OF_AMANI = {"app", "worker", "beat", *ONE_SHOTS}
WITH_AMANIS_IMAGE = {*OF_AMANI, "bank"}
INTERPOLATION = re.compile(r"(?<!\$)\$\{([A-Z][A-Z0-9_]*)(:?[-?+])?")


def services(file: Path = COMPOSE) -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text())["services"]
    return loaded


def with_defaults(text: str) -> str:
    """What compose makes of `${NAME:-default}` in an empty environment."""
    return re.sub(r"\$\{[A-Z0-9_]+(?::?-([^}]*))?\}", lambda match: match[1] or "", text)


def prepare() -> ModuleType:
    """The program of the service `secrets`."""
    return compose_program("prepare")


def compose_program(name: str) -> ModuleType:
    """A program of deploy/compose, which is no package."""
    file = ROOT / "deploy" / "compose" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"compose_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
