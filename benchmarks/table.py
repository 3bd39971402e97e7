"""The one table: each figure beside the limit and the peer, judged by goal and gate."""

from dataclasses import dataclass, field
from enum import Enum

HEADINGS = ("", "measure", "Amani", "limit", "of limit", "peer", "goal", "gate", "")


class Verdict(Enum):
    GOAL = "✓ goal"
    GATE = "~ gate"  # good enough to release, not yet what we want
    MISSED = "✗ MISSED"
    SHOWN = ""  # for comparison only

    @classmethod
    def of(cls, *, goal: bool, gate: bool) -> "Verdict":
        if goal:
            return cls.GOAL
        return cls.GATE if gate else cls.MISSED


@dataclass(frozen=True)
class Row:
    key: str
    measure: str
    amani: str
    limit: str = "-"
    of_limit: str = "-"
    peer: str = "-"
    goal: str = "-"
    gate: str = "-"
    verdict: Verdict = Verdict.SHOWN

    @property
    def cells(self) -> tuple[str, ...]:
        texts = (self.key, self.measure, self.amani, self.limit, self.of_limit, self.peer)
        return (*texts, self.goal, self.gate, self.verdict.value)


@dataclass
class Table:
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def missed(self) -> list[Row]:
        return [row for row in self.rows if row.verdict is Verdict.MISSED]

    def __str__(self) -> str:
        lines = [HEADINGS, *(row.cells for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
        texts = [self.line(line, widths) for line in lines]
        texts.insert(1, self.line(tuple("-" * width for width in widths), widths))
        return "\n".join([*texts, *self.notes])

    @staticmethod
    def line(cells: tuple[str, ...], widths: list[int]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return "| " + " | ".join(padded) + " |"


def number(value: float) -> str:
    """Three digits that mean something: 21,089 or 16.4 or 0.53."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def pair(values: tuple[float, float]) -> str:
    return " / ".join(number(value) for value in values)
