"""Checks rule files before Prometheus loads them: with promtool where it is installed, and by Prometheus.

promtool knows all of a file, its templates too. Prometheus's format_query knows expressions only, and is of
the version that will run them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from observability.rules.files import Group
from observability.rules.publication.errors import NotPublished, TryLater
from observability.rules.publication.prometheus import Prometheus, WrongExpression
from observability.rules.render import Place, find_expression

PROMTOOL_SECONDS = 30
# promtool writes `amani.yml: 9:15: group "one", rule 2, "B": …`, of a template without a place.
ABOUT_RULE = re.compile(r'(?:\d+:\d+: )?group "(?P<group>.*?)", rule (?P<rule>\d+), (?P<why>".*)', re.DOTALL)
IN_EXPRESSION = re.compile(r"\b(\d+):(\d+): parse error")


def check(files: Mapping[str, str], groups: Iterable[Group], prometheus: Prometheus) -> None:
    """Raises NotPublished, with the place, for files that Prometheus would refuse."""
    check_with_promtool(files)
    for group in groups:
        for number, rule in enumerate(group.rules, 1):
            try:
                prometheus.formatted(rule.expression)
            except WrongExpression as wrong:
                why = f'"{rule.name}": {wrong}'
                raise NotPublished(why, place_of(files, group.name, number, why)) from wrong


def check_with_promtool(files: Mapping[str, str]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        return
    with tempfile.TemporaryDirectory(prefix="amani-rules-") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        command = [promtool, "check", "rules", "--lint=none", *files]
        try:
            done = subprocess.run(  # noqa: S603  (a program of the PATH and names that Amani chose)
                command, cwd=folder, capture_output=True, text=True, timeout=PROMTOOL_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise TryLater(f"promtool could not be run: {type(problem).__name__}.") from problem
    if done.returncode != 0:
        raise refusal(files, done.stderr or done.stdout)


def refusal(files: Mapping[str, str], output: str) -> NotPublished:
    """Returns what promtool wrote about the first problem, and where it is."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and line.strip() != "FAILED:"]
    file, _, message = " ".join(lines).partition(": ")
    about = ABOUT_RULE.match(lines[0].partition(": ")[2]) if lines else None
    if about is not None:
        return NotPublished(about["why"], place_of(files, about["group"], int(about["rule"]), about["why"]))
    return NotPublished(message or "promtool refuses it", Place(file) if file in files else None)


def place_of(files: Mapping[str, str], group: str, rule: int, why: str) -> Place | None:
    """Returns the place of the mistake in an expression, or where the rule's expression is."""
    inside = IN_EXPRESSION.search(why)
    line, column = (int(inside[1]), int(inside[2])) if inside else (1, 1)
    return find_expression(files, group, rule, line, column)
