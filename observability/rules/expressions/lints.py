"""Finds what is likely to be wrong with a rule although Prometheus accepts it. Each finding has its reason.

What only Prometheus knows is asked from it: whether the series exist, how many there are, how often they are
scraped, how long the query takes. Without its answer a warning says what was not checked.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from observability.rules.expressions.judging import question
from observability.rules.expressions.reading import Facts, Selector, facts_of
from observability.rules.files import number_text, seconds_of

TEMPLATE_LABEL = re.compile(r"(?:\$labels|\.Labels)\.([A-Za-z_]\w*)")
OF_ANOTHER_QUERY = re.compile(r"\{\{-?\s*range\b.*?\{\{-?\s*end\s*-?\}\}", re.DOTALL)
COUNTERS = ("_total", "_bucket")
COUNTER_FUNCTIONS = frozenset(
    {"rate", "irate", "increase", "resets", "changes", "absent", "absent_over_time", "count", "group"}
    | {"count_over_time", "present_over_time", "timestamp"}
)
ABSENCE = frozenset({"absent", "absent_over_time"})  # what they name may be missing
NEEDED_SCRAPES = 2  # rate() and increase() return nothing for fewer samples
SAFE_SCRAPES = 4  # one missed scrape leaves enough
MOST_SELECTORS = 10
MOST_SERIES = 10_000
SLOW_SECONDS = 1.0


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Lint(NamedTuple):
    level: Level
    field: str  # of the form: "expression" or "description"
    text: str


class NotAnswered(Exception):
    """Prometheus did not answer a question."""


def lint(expression: str, texts: Iterable[str]) -> list[Lint]:
    """Returns the findings, errors first. `texts` are the templates of labels and annotations."""
    [facts] = facts_of([expression])
    return lint_facts(expression, facts, texts)


def lint_facts(expression: str, facts: Facts | str, texts: Iterable[str]) -> list[Lint]:
    """Returns the findings, as `lint`, about an expression that the parser has read."""
    if isinstance(facts, str):
        unread = f"Only Prometheus's parser has checked it: {facts}."
        return [Lint(Level.WARNING, "expression", unread)]
    found = [*lint_text(facts, texts), *lint_in_prometheus(expression, facts)]
    return sorted(found, key=lambda each: each.level != Level.ERROR)


# --- What the text says ---


def lint_text(facts: Facts, texts: Iterable[str]) -> Iterator[Lint]:
    if facts.selectors and not facts.compares:
        yield Lint(
            Level.ERROR,
            "expression",
            "It compares nothing: without a comparison or absent() it fires for every series it finds.",
        )
    for name in sorted({each.name for each in facts.selectors if is_bare_counter(each)}):
        yield Lint(
            Level.WARNING,
            "expression",
            f"{name} looks like a counter, which only grows until a restart. Use rate() or increase().",
        )
    if facts.labels is not None:
        for name in sorted(template_labels(texts) - facts.labels):
            has = ", ".join(sorted(facts.labels)) or "none"
            yield Lint(
                Level.ERROR,
                "description",
                f"A text uses $labels.{name}. The result of the expression has the labels: {has}.",
            )


def is_bare_counter(selector: Selector) -> bool:
    return selector.name.endswith(COUNTERS) and COUNTER_FUNCTIONS.isdisjoint(selector.functions)


def template_labels(texts: Iterable[str]) -> set[str]:
    """Returns the labels of the alert that templates use; those inside of a `range` are of another query."""
    return {name for text in texts for name in TEMPLATE_LABEL.findall(OF_ANOTHER_QUERY.sub("", text))}


# --- What Prometheus knows ---


def lint_in_prometheus(expression: str, facts: Facts) -> list[Lint]:
    found: list[Lint] = []
    parts: tuple[tuple[str, Callable[[], Iterable[Lint]]], ...] = (
        ("whether its series exist", lambda: lint_series(facts)),
        ("whether its windows cover several scrapes", lambda: lint_windows(facts)),
        ("how long it takes", lambda: lint_cost(expression)),
    )
    for position, (_what, check) in enumerate(parts):
        try:
            found += check()
        except NotAnswered:
            unchecked = ", ".join(what for what, _ in parts[position:])
            return [
                *found,
                Lint(Level.WARNING, "expression", f"Prometheus did not answer. Not checked: {unchecked}."),
            ]
    return found


def lint_series(facts: Facts) -> Iterator[Lint]:
    wanted = (each.text for each in facts.selectors if ABSENCE.isdisjoint(each.functions))
    texts = list(dict.fromkeys(wanted))
    for text in texts[:MOST_SELECTORS]:
        number = count_of(text)
        if number == 0:
            yield Lint(
                Level.WARNING,
                "expression",
                f"Prometheus has no series {text} now. Check its name and labels.",
            )
        if number > MOST_SERIES:
            yield Lint(
                Level.WARNING,
                "expression",
                f"{text} are {number:,} series, read at every evaluation: more than {MOST_SERIES:,}.",
            )
    if len(texts) > MOST_SELECTORS:
        yield Lint(
            Level.WARNING, "expression", f"Only the first {MOST_SELECTORS} of its series were looked for."
        )


def lint_windows(facts: Facts) -> Iterator[Lint]:
    windows = {each.window_seconds for each in facts.selectors if each.window_seconds is not None}
    if not windows:
        return
    interval = scrape_seconds()
    for window in sorted(windows):
        scrapes = f"{number_text(round(window / interval, 1))} scrapes of {number_text(interval)} s"
        text = f"The window of {number_text(window)} s covers {scrapes}"
        if window < NEEDED_SCRAPES * interval:
            yield Lint(Level.ERROR, "expression", f"{text}; rate() and increase() need {NEEDED_SCRAPES}.")
        elif window < SAFE_SCRAPES * interval:
            yield Lint(Level.WARNING, "expression", f"{text}; with {SAFE_SCRAPES} it survives a missed one.")


def lint_cost(expression: str) -> Iterator[Lint]:
    began = time.monotonic()
    answer("query", query=expression)
    seconds = time.monotonic() - began
    if seconds > SLOW_SECONDS:
        yield Lint(
            Level.WARNING,
            "expression",
            f"It took {seconds:.1f} s; a rule is evaluated several times a minute. Record a part of it.",
        )


def count_of(selector: str) -> int:
    result = answer("query", query=f"count({selector})")["result"]
    return int(float(result[0]["value"][1])) if result else 0


def scrape_seconds() -> float:
    """Returns the longest interval at which a target is scraped. Raises NotAnswered also without targets."""
    targets = answer("targets", state="active")["activeTargets"]
    intervals = [seconds_of(target["scrapeInterval"]) for target in targets if "scrapeInterval" in target]
    if not any(intervals):
        raise NotAnswered
    return max(intervals)


def answer(name: str, **parameters: str) -> Any:
    """Returns the data of an answer. Raises NotAnswered, also for a query that Prometheus refuses."""
    found = question(name, **parameters)
    if found is None or found.error:
        raise NotAnswered
    return found.data
