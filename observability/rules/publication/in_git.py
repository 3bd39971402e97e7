"""For teams that keep their rules in git: the rules as Amani would have them run, beside the files there."""

from __future__ import annotations

from pathlib import Path

from observability.rules.files import read_groups
from observability.rules.publication import folder, versions
from observability.rules.publication.diff import Part, diff
from observability.rules.render import FILE, render


def export(into: Path | None) -> str:
    """Returns the rules as they should run, as one rule file; writes it into a folder if there is one.

    Raises TryLater when it cannot be written.
    """
    files = versions.candidate().files
    if into is not None:
        folder.write(into, files)
    return files[FILE]


def differences(there: Path) -> list[Part]:
    """Returns what the rules as they should run would change in the rule files of a folder.

    Both are written in one way first, in the order of their groups' names, so that only rules differ.
    Raises RuleFileWrong.
    """
    groups = sorted(read_groups(there), key=lambda group: group.name)
    return diff(render(groups), versions.candidate().files)


def in_words(parts: list[Part]) -> str:
    lines = []
    for part in parts:
        lines += [f"@@ {part.about}", *(f"{line.sign} {line.text}" for line in part.lines)]
    return "\n".join(lines) or "The rules are the same."
