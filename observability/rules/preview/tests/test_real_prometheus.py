"""A preview of back-filled days in a real Prometheus: its fidelity, and why it is low where it is low.

promtool writes the samples. ALERTS is what a Prometheus would have recorded that evaluated the rule every 15
seconds, except while it was away: worked out here from how each series was made, evaluation by evaluation.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import requests

from conftest import find_binary
from local import monitoring
from local.children import Program
from local.ports import find_free_port
from observability.models import Episode
from observability.rules.preview.compute import compute
from observability.rules.preview.question import Parts, Question
from observability.rules.preview.replay import Condition
from observability.tests.waiting import ANSWER_SECONDS, wait_until

pytestmark = [pytest.mark.needs("prometheus", "promtool"), pytest.mark.django_db]

STEP = 15
LOOKBACK = 300
HOUR = 3600
START = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())
END = START + 24 * HOUR
RESTARTS = [START + hour * HOUR + 600 for hour in (12, 14, 16, 18)]
# Of Prometheus: then every series has a gap.
AWAY = [(START + 5 * HOUR, START + 5 * HOUR + 1200), *((restart - 60, restart) for restart in RESTARTS)]
STARTS = [START - 86_400, *(end for _start, end in AWAY)]

Samples = dict[int, float]


def is_away(at: float) -> bool:
    return any(
        start <= at < end for start, end in (*AWAY, *((restart - 60, restart) for restart in RESTARTS))
    )


def scraped(value: Callable[[int], float | None]) -> Samples:
    """One sample every 15 seconds, four seconds after each evaluation, except while Prometheus was away."""
    moments = (at for at in range(START + 4, END, STEP) if not is_away(at))
    return {at: found for at in moments if (found := value(at)) is not None}


def hours(*periods: tuple[float, float]) -> Callable[[int], bool]:
    return lambda at: any(START + first * HOUR <= at < START + last * HOUR for first, last in periods)


busy = hours((1, 2), (4.9, 5.2), (8, 8.005), (11.9, 12.5), (13.9, 14.4), (15.9, 16.4), (17.9, 18.4))
failing = hours((2, 3), (6, 6.5))


def queue(at: int) -> float:
    return 120 if busy(at) else 20


def stale_queue(at: int) -> float | None:
    """A target that went away for good while its alert fired."""
    return 120 if at < START + 9 * HOUR else None


def failures() -> Samples:
    """A counter with ten failures a second at times; the process restarts in the middle of them."""
    total, samples = 0.0, {}
    for at in range(START + 4, END, STEP):
        total = 0.0 if START + 2.5 * HOUR <= at < START + 2.5 * HOUR + STEP else total
        total += 150 if failing(at) else 0
        if not is_away(at):
            samples[at] = total
    return samples


SERIES: dict[str, Samples] = {
    'queue{job="a"}': scraped(queue),
    'queue{job="b"}': scraped(stale_queue),
    'failures_total{job="a"}': failures(),
    'up{job="a"}': scraped(lambda at: 1),
    'prometheus_build_info{job="prometheus",instance="p"}': scraped(lambda at: 1),
    'process_start_time_seconds{job="prometheus",instance="p"}': scraped(
        lambda at: max(start for start in STARTS if start <= at)
    ),
}


# --- What Prometheus would have recorded ---


def newest(samples: Samples) -> Callable[[int], float | None]:
    """Returns what an instant query finds: the newest sample of the last five minutes."""

    def found(at: int) -> float | None:
        scrape = at - (at - START - 4) % STEP
        moments = range(scrape, at - LOOKBACK, -STEP)
        return next((samples[moment] for moment in moments if moment in samples), None)

    return found


def above(name: str, threshold: float) -> Callable[[int], bool]:
    value_at = newest(SERIES[name])
    return lambda at: (value := value_at(at)) is not None and value > threshold


def is_failing(at: int) -> bool:
    """Whether a counter of failures rose within a minute: then its rate is far over one a second."""
    samples = SERIES['failures_total{job="a"}']
    scrapes = range(at + 4 - 4 * STEP, at, STEP)  # those of the last minute
    values = [samples[moment] for moment in scrapes if moment in samples]
    return any(before < after or 0 < after < before for before, after in pairwise(values))


def recorded(holds: Callable[[int], bool], hold: int) -> Samples:
    """When the alert fired. With a `for` of under ten minutes, a start forgets what was pending."""
    samples: Samples = {}
    active_since: int | None = None
    was_away = False
    for at in range(START, END, STEP):
        if is_away(at):
            was_away = True
            continue
        if was_away:
            active_since, was_away = None, False
        if not holds(at):
            active_since = None
            continue
        active_since = at if active_since is None else active_since
        if at - active_since >= hold:
            samples[at] = 1
    return samples


def alerts(name: str, job: str, samples: Samples) -> dict[str, Samples]:
    labels = f'alertname="{name}",alertstate="firing",severity="warning",job="{job}"'
    return {f"ALERTS{{{labels}}}": samples}


RECORDED = {
    **alerts("Queue", "a", recorded(above('queue{job="a"}', 100), 60)),
    **alerts("Queue", "b", recorded(above('queue{job="b"}', 100), 60)),
    **alerts("Failures", "a", recorded(is_failing, 60)),
    **alerts("Restarted", "a", recorded(above('queue{job="a"}', 100), 540)),
    **alerts("Tuned", "a", recorded(above('queue{job="a"}', 10), 60)),
}


# --- The real program ---


def openmetrics(series: dict[str, Samples]) -> str:
    lines = [f"{name} {value} {at}" for name, samples in series.items() for at, value in samples.items()]
    return "\n".join([*lines, "# EOF\n"])


def found(name: str) -> str:
    path = find_binary(name)
    assert path is not None
    return path


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/-/ready", timeout=ANSWER_SECONDS).ok
    except requests.RequestException:
        return False


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("prometheus"), find_free_port()
    (folder / "past.txt").write_text(openmetrics(SERIES | RECORDED))
    (folder / "prometheus.yml").write_text("{}")
    written = ["tsdb", "create-blocks-from", "--quiet", "openmetrics", "past.txt", "data"]
    subprocess.run([found("promtool"), *written], cwd=folder, check=True, capture_output=True)
    output = os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o600)
    arguments = [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.path=data"]
    program = Program(
        "prometheus",
        [found("prometheus"), "--storage.tsdb.retention.time=100y", *arguments],
        output=output,
        environment=monitoring.environment(),
        folder=folder,
    )
    program.start()
    address = f"http://127.0.0.1:{port}"
    assert wait_until(lambda: is_ready(address)), (folder / "log").read_text()
    yield address
    program.stop()
    os.close(output)


@pytest.fixture
def preview(url: str, settings: Any) -> Callable[..., dict[str, Any]]:
    """`preview("Queue", "queue", 100, 60)` computes the whole back-filled day."""
    settings.PROMETHEUS_URL = url

    def computed(
        name: str, values: str, threshold: float, hold: float, proposed: float | None = None
    ) -> dict[str, Any]:
        present = Condition(">", threshold, hold)
        return compute(
            Question(
                alertname=name,
                labels={},
                severities=("warning",),
                labels_of_rule=("severity",),
                parts=Parts(values, ()),
                present=present,
                proposed=present._replace(threshold=threshold if proposed is None else proposed),
                days=1,
                interval_seconds=STEP,
                evaluated_at=END,
                changed_at=datetime.fromtimestamp(START + (20 * HOUR if name == "Tuned" else -HOUR), UTC),
            ),
            Episode.objects.filter(alertname=name),
            progress=lambda done: None,
            budget_seconds=ANSWER_SECONDS,
        )

    return computed


def test_over_gaps_and_a_series_that_goes_stale_the_replay_is_nearly_what_prometheus_did(
    preview: Callable[..., dict[str, Any]],
) -> None:
    """It differs where an alert fired when Prometheus went away: its last samples hold for five minutes more,
    and in that time nothing was evaluated.
    """
    found = preview("Queue", "queue", 100, 60, proposed=150)
    assert found["is_trusted"]
    assert found["doubts"] == []
    assert 0.95 < found["fidelity"] < 1
    assert (found["series"], found["step"]) == (2, STEP)
    assert found["present"]["times"] == 8
    assert found["present"]["seconds"] == pytest.approx(found["recorded"]["seconds"], rel=0.05)
    assert (found["proposed"]["times"], found["proposed"]["seconds"]) == (0, 0)


def test_a_counter_that_begins_anew_is_replayed_exactly(preview: Callable[..., dict[str, Any]]) -> None:
    found = preview("Failures", "rate(failures_total[1m])", 1, 60)
    assert found["fidelity"] == 1
    assert (found["present"]["times"], found["recorded"]["times"]) == (2, 2)
    assert found["present"]["firing"] == found["recorded"]["firing"]


def test_where_prometheus_was_restarted_while_alerts_were_pending_the_preview_says_that_it_cannot_be_trusted(
    preview: Callable[..., dict[str, Any]],
) -> None:
    found = preview("Restarted", 'queue{job="a"}', 100, 540)
    assert not found["is_trusted"]
    assert found["fidelity"] < 0.9
    said = " ".join(found["doubts"])
    assert "restarted (20 Nov 05:20 UTC, 20 Nov 12:10 UTC, 20 Nov 14:10 UTC and 2 more)" in said
    assert "Prometheus has gaps of 1" in said
    assert "1 of 1 series have no sample for a part of the time" in said


def test_where_another_threshold_was_evaluated_the_preview_says_that_the_rule_was_changed(
    preview: Callable[..., dict[str, Any]],
) -> None:
    found = preview("Tuned", 'queue{job="a"}', 100, 60)
    assert found["fidelity"] < 0.5
    assert "The rule was changed or added at 20 Nov 20:00 UTC" in " ".join(found["doubts"])
