"""Asks the process of child.py about expressions. Whatever an expression does to it, the caller goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from observability.rules.expressions.scanning import TooComplex, require_readable

PROJECT = Path(__file__).resolve().parent.parent.parent.parent
TOTAL_SECONDS = 10
COMMAND = [sys.executable, "-E", "-s", "-m", "observability.rules.expressions.child"]
ENDED = "the parser ended without an answer"

log = structlog.get_logger(__name__)


class Split(NamedTuple):
    """For example `sum(x)` `>` 5. `also`: what must hold besides, in the words of the parser."""

    series: str
    comparison: str
    threshold: float
    also: tuple[str, ...] = ()


class Reading(NamedTuple):
    """An expression with its split, or with the reason why it has none."""

    expression: str
    split: Split | None
    reason: str = ""


class Changed(NamedTuple):
    """The expression with another threshold, or the reason why it cannot have one."""

    expression: str
    reason: str = ""


class Selector(NamedTuple):
    """The series that an expression reads: `text` as PromQL, `functions` that are around it."""

    name: str
    text: str
    window_seconds: float | None
    functions: frozenset[str]


class Facts(NamedTuple):
    """What an expression reads and returns. `labels` is None when the text alone does not say them."""

    selectors: tuple[Selector, ...]
    labels: frozenset[str] | None
    compares: bool


def read(expressions: Sequence[str]) -> list[Reading]:
    """Returns each expression with its split, in order; with one process for all."""
    answers = ask([{"expression": expression} for expression in expressions])
    return [reading(expression, answer) for expression, answer in zip(expressions, answers, strict=True)]


def reading(expression: str, answer: dict[str, Any]) -> Reading:
    split = answer.get("split")
    if split is None:
        return Reading(expression, None, answer["reason"])
    return Reading(expression, Split(**{**split, "also": tuple(split["also"])}))


def conditions_of(expression: str) -> list[Split]:
    """Returns each comparison with a number of which one has to hold; none where any part is another."""
    [answer] = ask([{"expression": expression, "conditions": True}])
    return [Split(**{**found, "also": tuple(found["also"])}) for found in answer.get("conditions", ())]


def put(thresholds: Sequence[tuple[str, float]]) -> list[Changed]:
    """Returns each expression with another threshold, the rest of its text unchanged; one process for all."""
    questions = [{"expression": expression, "threshold": number} for expression, number in thresholds]
    return [Changed(answer.get("expression", ""), answer.get("reason", "")) for answer in ask(questions)]


def facts_of(expressions: Sequence[str]) -> list[Facts | str]:
    """Returns what each expression reads and returns, or the reason why the parser does not know; with one
    process for all.
    """
    return [facts(answer) for answer in ask([{"expression": each, "facts": True} for each in expressions])]


def facts(answer: dict[str, Any]) -> Facts | str:
    found = answer.get("facts")
    if found is None:
        return str(answer["reason"])
    selectors = [
        Selector(**{**each, "functions": frozenset(each["functions"])}) for each in found["selectors"]
    ]
    labels = None if found["labels"] is None else frozenset(found["labels"])
    return Facts(tuple(selectors), labels, found["compares"])


def ask(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns an answer to each question. One that ends the process costs the others nothing."""
    readable = [question for question in questions if not refusal(question["expression"])]
    answers = iter(run(readable))
    return [
        {"reason": why} if (why := refusal(question["expression"])) else next(answers)
        for question in questions
    ]


def refusal(expression: str) -> str:
    try:
        require_readable(expression)
    except TooComplex as problem:
        return str(problem)
    return ""


def run(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not questions:
        return []
    answers = answers_of_process(questions)
    if answers is not None:
        return answers
    if len(questions) == 1:
        return [{"reason": ENDED}]
    return [answer for question in questions for answer in run([question])]


def answers_of_process(questions: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Returns the answers; None when the process was ended or ran out of time."""
    try:
        done = subprocess.run(  # noqa: S603  (no shell, nothing of the caller's in the command)
            COMMAND,
            input=json.dumps(questions).encode(),
            capture_output=True,
            timeout=TOTAL_SECONDS,
            cwd=PROJECT,
            env={},
            check=False,
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode != 0:
        log.warning("expression_parser_ended", status=done.returncode if done else "timeout")
        return None
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers
