"""Says how far the replay of the present rule agrees with what Prometheus recorded when it evaluated it.

Prometheus stores each firing alert as a sample of `ALERTS{alertstate="firing"}` at each evaluation. Of all
evaluations of all alerts of the rule at which the replay fires, or Prometheus recorded that it fired, the
fidelity is the share at which both do:

    both / (both + only in the replay + only recorded)

An evaluation at which neither fires counts for nothing: of a rule that seldom fires those would be nearly
all. Without any there is nothing to compare, and no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from observability.rules.preview.replay import Series, Span, common_length, joined, length

TRUSTED = 0.9
NOT_OF_THE_SERIES = frozenset({"__name__", "alertname", "alertstate"})

Identity = frozenset[tuple[str, str]]


class Fidelity(NamedTuple):
    """Counts of evaluations, each of one alert."""

    both: int
    only_replayed: int
    only_recorded: int

    @property
    def share(self) -> float | None:
        """Returns the agreement, from 0 to 1; None when the alert did not fire in either."""
        compared = sum(self)
        return self.both / compared if compared else None

    @property
    def is_trusted(self) -> bool:
        return self.share is None or self.share >= TRUSTED


def identity(labels: Mapping[str, str], labels_of_rule: Iterable[str]) -> Identity:
    """Returns what tells an alert from others of its rule: the labels that its series has by itself.

    The rule's own labels replace those of the series, and may be templates, so they are left out.
    """
    left_out = NOT_OF_THE_SERIES | set(labels_of_rule)
    return frozenset((name, value) for name, value in labels.items() if name not in left_out)


def firing_by_identity(
    found: Iterable[tuple[Mapping[str, str], list[Span]]], labels_of_rule: Iterable[str]
) -> dict[Identity, list[Span]]:
    """Returns when each alert fired. `found`: labels and spans; several of one alert are joined."""
    labels_of_rule = tuple(labels_of_rule)
    spans: dict[Identity, list[Span]] = {}
    for labels, firing in found:
        if firing:
            spans.setdefault(identity(labels, labels_of_rule), []).extend(firing)
    return {key: joined(several) for key, several in spans.items()}


def spans_of(series: Series) -> list[Span]:
    """Returns when a series has samples."""
    return joined([(index, index + 1) for index in series.indices])


def compare(replayed: Mapping[Identity, list[Span]], recorded: Mapping[Identity, list[Span]]) -> Fidelity:
    both = only_replayed = only_recorded = 0
    for key in replayed.keys() | recorded.keys():
        ours, theirs = replayed.get(key, []), recorded.get(key, [])
        common = common_length(ours, theirs)
        both += common
        only_replayed += length(ours) - common
        only_recorded += length(theirs) - common
    return Fidelity(both, only_replayed, only_recorded)
