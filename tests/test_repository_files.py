"""The files that git, GitHub and Renovate read run the commands of the Makefile and .ci/run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from django.conf import settings

from local import lock

ROOT = Path(settings.BASE_DIR)
TARGET = re.compile(r"^([a-z-]+):([^#\n]*)", re.MULTILINE)
TARGETS = {
    name: prerequisites.split() for name, prerequisites in TARGET.findall((ROOT / "Makefile").read_text())
}
HOOKS = {
    hook["id"]: hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
}


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_runs_lint_or_a_part_of_it(name: str) -> None:
    program, target = HOOKS[name]["entry"].split()
    assert program == "make"
    assert target in {"lint", *TARGETS["lint"]}


def test_a_push_runs_all_of_lint() -> None:
    assert [hook["entry"] for hook in HOOKS.values() if hook["stages"] == ["pre-push"]] == ["make lint"]


def test_ci_runs_the_script_that_everybody_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert steps[-1] == "bash .ci/run"


@pytest.mark.parametrize("name", lock.NAMES)
def test_renovate_finds_each_lock_file_and_the_command_that_made_it(name: str) -> None:
    patterns = json.loads((ROOT / "renovate.json").read_text())["pip-compile"]["managerFilePatterns"]
    assert any(re.search(pattern.strip("/"), f"{name}.txt") for pattern in patterns)
    file = ROOT / name
    command = (ROOT / f"{name}.txt").read_text().splitlines()[1]
    assert command.startswith(f"#    uv pip compile {file.name}.in --output-file={file.name}.txt ")


def test_help_lists_every_target() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    assert [line for line in lines if TARGET.match(line) and " ## " not in line] == []
