"""Shows what differs between two rule files, as lines, each part under the rule that it is in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

CONTEXT = 3
ABOUT = ("- alert: ", "- record: ", "- name: ")
HEADER = "# "


class Line(NamedTuple):
    sign: str  # "+", "-" or " "
    text: str

    @property
    def tone(self) -> str:
        return {"+": "added", "-": "removed"}.get(self.sign, "same")


class Part(NamedTuple):
    """Lines that belong together. `about`: the rules, or the group, in which something differs."""

    about: str
    lines: list[Line]


def diff(before: Mapping[str, str], after: Mapping[str, str]) -> list[Part]:
    """Returns the parts that differ, without the header, which has the number of the version."""
    return [
        part
        for name in sorted({*before, *after})
        for part in parts_of(lines_of(before.get(name, "")), lines_of(after.get(name, "")))
    ]


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(HEADER)]


def parts_of(old: Sequence[str], new: Sequence[str]) -> Iterator[Part]:
    # Not `autojunk`: the lines that most rules have, for example `labels:`, are what one change is seen by.
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        lines: list[Line] = []
        named: list[str] = []
        for what, i1, i2, j1, j2 in group:
            if what == "equal":
                lines += [Line(" ", text) for text in new[j1:j2]]
                continue
            lines += [Line("-", text) for text in old[i1:i2]]
            lines += [Line("+", text) for text in new[j1:j2]]
            named += [*abouts(old, i1, i2), *abouts(new, j1, j2)]
        yield Part(", ".join(dict.fromkeys(named)), lines)


def abouts(lines: Sequence[str], start: int, end: int) -> Iterator[str]:
    """Yields the rules that the lines from `start` to `end` are of: that of the first, and those after it."""
    if start == end:
        return
    above = (about for about in map(about_of, reversed(lines[: start + 1])) if about)
    yield next(above, "")
    yield from filter(None, map(about_of, lines[start + 1 : end]))


def about_of(line: str) -> str:
    text = line.strip()
    return next((text.removeprefix(mark) for mark in ABOUT if text.startswith(mark)), "")


def around(text: str, line: int, context: int = 4) -> list[tuple[int, str]]:
    """Returns the lines around a line of the file, with their numbers."""
    lines = text.splitlines()
    first = max(line - context, 1)
    return list(enumerate(lines[first - 1 : line + context - 1], first))
