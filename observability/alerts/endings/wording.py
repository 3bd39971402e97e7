"""Says in a sentence how an alert ended."""

from __future__ import annotations

import math

from observability.models import Episode
from observability.models.episode import Ending

NOT_SEEN = "Nothing shows that the problem is over."
TEXTS = {
    Ending.OTHER_CONDITION: "The value still meets {condition}, but another condition of the rule no longer "
    "holds.",
    Ending.STILL_HOLDS: "The value still meets the rule's condition {condition}. " + NOT_SEEN,
    Ending.VANISHED: "The series is no longer there: no target reports it. " + NOT_SEEN,
    Ending.NOT_MEASURED: "The value is not a number any more: there was nothing to measure. " + NOT_SEEN,
    Ending.RULE_GONE: "The rule is no longer loaded: it was deleted, disabled or renamed. " + NOT_SEEN,
    Ending.RULE_BROKEN: "Prometheus cannot evaluate the rule. " + NOT_SEEN,
}


def sentence(episode: Episode) -> str:
    """Returns how the alert ended: the value and the threshold, or why they are not known.

    "" while it was not found out.
    """
    if not episode.ending:
        return ""
    ending = Ending(episode.ending)
    match ending:
        case Ending.RECOVERED:
            return value_of(episode)
        case Ending.RULE_CHANGED:
            return changed(episode)
        case Ending.NO_ANSWER:
            return "Value at its end: not known, because Prometheus did not answer."
        case Ending.NO_RULE:
            return "Value at its end: not known, because Prometheus has no rule of this name."
        case Ending.NO_THRESHOLD:
            return "Value at its end: not known, because its rule compares nothing with a number."
    text = TEXTS[ending].format(condition=episode.ending_condition)
    return text if episode.ending_value is None else f"{value_of(episode)} {text}"


def changed(episode: Episode) -> str:
    """Returns what to say of a rule that was changed, with the value by the rule as it is now."""
    if not episode.ending_condition:
        return f"The rule was changed while the alert fired. {NOT_SEEN}"
    text = "The rule's expression was changed while the alert fired."
    if episode.ending_value is None:
        return f"{text} {NOT_SEEN}"
    return f"{text} By the new one: {value_of(episode)[0].lower()}{value_of(episode)[1:]}"


def value_of(episode: Episode) -> str:
    fires = f"the rule fires at {episode.ending_condition}"
    if episode.ending_value is None:
        return f"Value at its end: not known, because several series match ({fires})."
    return f"Value at its end: {number(episode.ending_value)} ({fires})."


def number(value: float) -> str:
    """Returns the value as an operator reads it: 0.0231, 12, 1.5e+09."""
    return f"{value:.4g}" if math.isfinite(value) and abs(value) < 1_000_000 else f"{value:g}"
