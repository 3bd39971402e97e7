"""Computes a preview: what a rule would have done with other values, beside what it does and what it did."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django.db.models import QuerySet

from core.outgoing import Deadline
from observability.models import Episode
from observability.models.rules import SEVERITY
from observability.rules.preview import chart
from observability.rules.preview.doubts import doubts, past_of_prometheus
from observability.rules.preview.errors import CannotPreview
from observability.rules.preview.fidelity import compare, firing_by_identity, spans_of
from observability.rules.preview.judged import MOST_ALERTS, Judged, episodes_in, is_kept, judge, suggest
from observability.rules.preview.outcome import Candidate, Outcome, alerts_of, outcome_of, summary, told
from observability.rules.preview.question import Question
from observability.rules.preview.replay import Grid, Series, Span, clipped
from observability.rules.preview.series import (
    DAY_SECONDS,
    SHORTEST_HISTORY_SECONDS,
    Look,
    grid_for,
    look_at,
    read_series,
)

BUDGET_SECONDS = 75.0  # a task has 110
LONGEST_LEAD_SECONDS = DAY_SECONDS

Progress = Callable[[float], None]  # takes what is done, from 0 to 1


def compute(
    question: Question,
    alerts: QuerySet[Episode],
    progress: Progress,
    budget_seconds: float = BUDGET_SECONDS,
) -> dict[str, Any]:
    """Returns the preview as JSON data. Raises CannotPreview.

    `alerts`: those that the rule has caused, of any time. `progress` may raise to end it.
    """
    deadline = Deadline(budget_seconds)
    grid, window, notices = window_of(question, deadline)
    progress(0.05)
    candidates = read_candidates(question, grid, deadline, part(progress, 0.05, 0.7))
    recorded = read_recorded(question, grid, deadline, part(progress, 0.7, 0.85))
    present = outcome_of(candidates, grid.step, question.present)
    proposed = outcome_of(candidates, grid.step, question.proposed)
    progress(0.9)
    start, end = grid.at(window[0]), grid.at(window[1])
    episodes = episodes_in(alerts, start, end)
    judged = judge(episodes, candidates, question.labels_of_rule, grid)
    return {
        "start": start,
        "end": end,
        "step": grid.step,
        "interval": question.interval_seconds,
        "comparison": question.present.comparison,
        "series": len(candidates),
        "notices": [*notices, *notices_about(candidates, episodes)],
        "present": told_thinly(present, grid, window, start, end),
        "proposed": told_thinly(proposed, grid, window, start, end),
        "recorded": thinly(summary([clipped(spans_of(one), window) for one in recorded], grid), start, end),
        "lines": chart.lines_of(candidates, (proposed, present), grid, window),
        "alerts": [{"id": one.episode.pk, "kept": is_kept(one, proposed)} for one in judged],
        "suggestion": suggestion(judged, candidates, grid, window, present),
        **trust(question, grid, window, candidates, recorded, present, deadline),
    }


def part(progress: Progress, start: float, end: float) -> Progress:
    """Returns the progress of a part of the work: from `start` to `end` of the whole."""
    return lambda done: progress(start + (end - start) * done)


# --- What is read ---


def window_of(question: Question, deadline: Deadline) -> tuple[Grid, Span, list[str]]:
    """Returns the evaluations to read, those of them that are shown, and what the page says about that.

    Reading begins earlier, so that what fires at the beginning of the window has been pending before.
    """
    seconds = question.days * DAY_SECONDS
    lead = min(
        max(
            condition.for_seconds + condition.keep_firing_for_seconds
            for condition in (question.present, question.proposed)
        ),
        LONGEST_LEAD_SECONDS,
    )
    grid_of = partial(grid_for, end=question.evaluated_at, interval=question.interval_seconds)
    look = look_at_all(question, grid_of(seconds=seconds + lead), deadline)
    if look.since is None:
        days = "day" if question.days == 1 else f"{question.days} days"
        raise CannotPreview(
            f"Prometheus has no data of the last {days}, of this rule or of any target. If it has just been "
            "started, ask again in an hour."
        )
    first = question.evaluated_at - seconds
    has = question.evaluated_at - look.since
    if has < SHORTEST_HISTORY_SECONDS:
        since = chart.clock(look.since)
        raise CannotPreview(
            f"Prometheus is too young: it has data since {since} UTC, less than an hour. Ask again later."
        )
    notices = []
    is_young = look.since > first + seconds / 50
    if is_young:
        since = chart.clock(look.since)
        notices.append(f"Prometheus has data since {since} UTC only: the preview begins there.")
    grid = grid_of(seconds=min(has, seconds + lead), series=look.series)
    if grid.step > question.interval_seconds:
        notices.append(
            f"The rule is evaluated every {question.interval_seconds:g} s. For so many days it is replayed "
            f"in steps of {grid.step:g} s."
        )
    return grid, (grid.index_of(max(first, grid.start)), grid.count), notices


def look_at_all(question: Question, grid: Grid, deadline: Deadline) -> Look:
    """Returns the series of all parts together."""
    looks = [look_at(expression, grid, deadline) for expression in expressions_of(question)]
    began = [look.since for look in looks if look.since is not None]
    return Look(sum(look.series for look in looks), min(began, default=None))


def expressions_of(question: Question) -> list[str]:
    return [expression for expression in (question.parts.values, *question.parts.always) if expression]


def read_candidates(
    question: Question, grid: Grid, deadline: Deadline, progress: Progress
) -> list[Candidate]:
    expressions = expressions_of(question)
    candidates = []
    for number, expression in enumerate(expressions):
        share = part(progress, number / len(expressions), (number + 1) / len(expressions))
        is_compared = expression == question.parts.values
        found = read_series(expression, grid, deadline, progress=share)
        candidates += [Candidate(series, is_compared) for series in found]
    return candidates


def read_recorded(question: Question, grid: Grid, deadline: Deadline, progress: Progress) -> list[Series]:
    """Returns at which evaluations Prometheus recorded that alerts of the rule fired.

    A sample counts for its own evaluation only: after the death of Prometheus nothing marks it as stale, and
    an instant query would find it for five minutes more.
    """
    labels = {"alertname": question.alertname, "alertstate": "firing", **question.labels}
    own = f"{round(question.interval_seconds * 1000) - 1}ms"
    recorded = f"present_over_time(ALERTS{selector(labels, question.severities)}[{own}])"
    return read_series(recorded, grid, deadline, progress=progress)


def selector(labels: Mapping[str, str], severities: Sequence[str]) -> str:
    """Returns the PromQL selector of what has all of `labels` and one of `severities`, if there are any.

    JSON escapes a text as PromQL does.
    """
    matchers = [f"{name}={json.dumps(text, ensure_ascii=False)}" for name, text in labels.items()]
    if severities:
        any_of = "|".join(map(re.escape, severities))
        matchers.append(f"{SEVERITY}=~{json.dumps(any_of, ensure_ascii=False)}")
    return "{" + ",".join(matchers) + "}"


# --- What is said about it ---


def notices_about(candidates: Sequence[Candidate], episodes: Sequence[Episode]) -> list[str]:
    notices = []
    if not candidates:
        notices.append(
            "The expression had no series in this time. If it should have some, its metric is not exported."
        )
    if len(episodes) == MOST_ALERTS:
        notices.append(f"Only the newest {MOST_ALERTS} alerts are looked at.")
    return notices


def told_thinly(outcome: Outcome, grid: Grid, window: Span, start: float, end: float) -> dict[str, Any]:
    return thinly(told(outcome, grid, window), start, end)


def thinly(what: dict[str, Any], start: float, end: float) -> dict[str, Any]:
    """Returns it with as many periods as a picture can show; the counts are of all."""
    return what | {
        state: chart.thinned(what[state], start, end) for state in ("pending", "firing") if state in what
    }


def trust(
    question: Question,
    grid: Grid,
    window: Span,
    candidates: Sequence[Candidate],
    recorded: Sequence[Series],
    present: Outcome,
    deadline: Deadline,
) -> dict[str, Any]:
    """Returns the fidelity and, if it is low, what may be the reason."""
    fidelity = compare(
        alerts_of(present, candidates, question.labels_of_rule, window),
        firing_by_identity(
            ((one.labels, clipped(spans_of(one), window)) for one in recorded), question.labels_of_rule
        ),
    )
    reasons = []
    if not fidelity.is_trusted:
        reasons = doubts(
            fidelity,
            grid,
            series=[one.series for one in candidates],
            past=past_of_prometheus(grid, deadline),
            interval=question.interval_seconds,
            changed_at=question.changed_at,
        )
    return {"fidelity": fidelity.share, "is_trusted": fidelity.is_trusted, "doubts": reasons}


def suggestion(
    judged: Sequence[Judged], candidates: Sequence[Candidate], grid: Grid, window: Span, present: Outcome
) -> Mapping[str, Any]:
    """Returns the suggested threshold with what it would have done, or the reason why there is none."""
    found = suggest(judged, candidates, grid, present)
    if found.threshold is None:
        return {"threshold": None, "reason": found.reason}
    outcome = outcome_of(candidates, grid.step, present.condition._replace(threshold=found.threshold))
    what = told(outcome, grid, window)
    kept = [one for one in judged if is_kept(one, outcome)]
    return {
        "threshold": found.threshold,
        "times": what["times"],
        "seconds": what["seconds"],
        "worth_it": found.kept,
        "worth_it_kept": sum(one.is_worth_it for one in kept),
        "noise": found.noise,
        "noise_dropped": found.noise - sum(one.is_noise for one in kept),
    }
