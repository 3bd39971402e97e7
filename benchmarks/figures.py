"""The few figures the benchmarks need."""

from collections.abc import Sequence
from statistics import median, quantiles


def p50_p99(values: Sequence[float]) -> tuple[float, float]:
    """In milliseconds, of seconds."""
    if len(values) < 2:
        return (float("nan"), float("nan"))
    return median(values) * 1000, quantiles(values, n=100, method="inclusive")[98] * 1000


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of neighbouring rounds: noise that lasts longer than a round cancels out."""
    return median(own / other for own, other in zip(ours, theirs, strict=True))
