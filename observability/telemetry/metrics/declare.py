"""How a metric is declared: in Amani's registry, with labels, and with the children that are known."""

from collections.abc import Iterable
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

REGISTRY = CollectorRegistry(auto_describe=True)

Metric = TypeVar("Metric", bound=MetricWrapperBase)

snapshot_gauges: list[Gauge] = []


def counter(name: str, documentation: str, *labels: str) -> Counter:
    return Counter(name, documentation, labels, registry=REGISTRY)


def histogram(name: str, documentation: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(name, documentation, labels, registry=REGISTRY, buckets=buckets)


def live_gauge(name: str, documentation: str, *labels: str) -> Gauge:
    """A gauge of each process; a scrape shows the sum over the processes that are alive."""
    return Gauge(name, documentation, labels, registry=REGISTRY, multiprocess_mode="livesum")


def snapshot_gauge(name: str, documentation: str, *labels: str) -> Gauge:
    """A gauge that any process may set for all of them: a scrape shows the most recent setting, or 0."""
    gauge = Gauge(name, documentation, labels, registry=REGISTRY, multiprocess_mode="mostrecent")
    snapshot_gauges.append(gauge)
    return gauge


def children(metric: Metric, labels: Iterable[str]) -> dict[str, Metric]:
    """The child of each label value, made now, so that zero is shown as zero."""
    return {label: metric.labels(label) for label in labels}


def grid(metric: Metric, first: Iterable[str], second: Iterable[str]) -> dict[tuple[str, str], Metric]:
    """As `children`, for two labels."""
    seconds = tuple(second)
    return {(one, two): metric.labels(one, two) for one in first for two in seconds}
