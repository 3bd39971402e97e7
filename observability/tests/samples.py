"""Reads metrics the way a test wants them: one number, or how many series there are."""

from observability.metrics import REGISTRY


def sample(name: str, **labels: str) -> float:
    """The value of one series of this process; 0 when there is none yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


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
