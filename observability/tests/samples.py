"""Reads metrics the way a test wants them: one number, or how many series there are."""

from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser

from observability.metrics import REGISTRY
from observability.telemetry.metrics.exposition import OPENMETRICS, write_metrics


def sample(name: str, **labels: str) -> float:
    """The value of one series of this process; 0 when there is none yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def parse_openmetrics(text: str) -> list[Metric]:
    return list(parser.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def scraped() -> list[Metric]:
    """What a scrape of all processes says."""
    return parse_openmetrics(write_metrics(OPENMETRICS).decode())


def exemplars_of(trace_id: str) -> list[tuple[str, dict[str, str], Any]]:
    """Name, labels and exemplar of every series that shows this trace."""
    return [
        (one.name, {name: one.labels[name] for name in one.labels if name != "le"}, one.exemplar.labels)
        for family in scraped()
        for one in family.samples
        if one.exemplar and one.exemplar.labels["trace_id"] == trace_id
    ]


def count_series() -> int:
    return sum(len(metric.samples) for metric in REGISTRY.collect())


class Change:
    """`change()` is how much a series has grown since this object was made."""

    def __init__(self, name: str, **labels: str) -> None:
        self.name = name
        self.labels = labels
        self.before = sample(name, **labels)

    def __call__(self) -> float:
        return sample(self.name, **self.labels) - self.before
