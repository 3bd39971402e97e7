"""`/metrics`: all processes of Amani in one answer, for those who may see it.

With PROMETHEUS_MULTIPROC_DIR the answer is the sum of the metric files of all slots, without it the metrics
of this process. Nothing here asks the database; scrape.py does, in bounded time.
"""

import hmac
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from prometheus_client import openmetrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from observability.metrics import REGISTRY, ROLES
from observability.telemetry.callers import is_direct_from
from observability.telemetry.metrics.collecting import read_families
from observability.telemetry.metrics.exemplars import add_exemplars, read_exemplars
from observability.telemetry.metrics.slots import live_slots, role_of

DEPENDENCIES = ("database", "redis")
REFUSAL = (
    b"Metrics are shown to METRICS_ALLOWED_NETWORKS without a proxy between, "
    b"and to requests with the header 'Authorization: Bearer <METRICS_TOKEN>'.\n"
)


class Format(NamedTuple):
    """One of prometheus_client's two text formats."""

    content_type: str
    encode: Callable[[Collector], bytes]
    has_exemplars: bool


TEXT = Format(CONTENT_TYPE_PLAIN_0_0_4, generate_latest, has_exemplars=False)
OPENMETRICS = Format(
    openmetrics.exposition.CONTENT_TYPE_LATEST, openmetrics.exposition.generate_latest, has_exemplars=True
)


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def may_see_metrics(environ: Mapping[str, Any]) -> bool:
    return is_direct_from(settings.METRICS_ALLOWED_NETWORKS, environ) or has_token(environ)


def has_token(environ: Mapping[str, Any]) -> bool:
    if not settings.METRICS_TOKEN:
        return False
    offered = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
    return hmac.compare_digest(offered, f"Bearer {settings.METRICS_TOKEN}".encode())


def choose_format(accept: str) -> Format:
    """OpenMetrics 1.0 if the header `Accept` names it, else Prometheus' text 0.0.4.

    prometheus_client's own `choose_encoder` raises an error for a version that is no number.
    """
    for offer in accept.lower().split(","):
        media_type, *parameters = [part.strip() for part in offer.split(";")]
        if media_type == "application/openmetrics-text" and "version=0.0.1" not in parameters:
            return OPENMETRICS
    return TEXT


def write_metrics(form: Format, answering: Mapping[str, bool] | None = None) -> bytes:
    """All metrics of all live and former processes, and those that are measured at a scrape.

    `answering`: whether each of DEPENDENCIES answers; without it they are left out.
    """
    directory = Path(settings.PROMETHEUS_MULTIPROC_DIR) if settings.PROMETHEUS_MULTIPROC_DIR else None
    if directory is None or not directory.is_dir():
        return form.encode(OneProcess(answering))
    return form.encode(AllProcesses(directory, answering, has_exemplars=form.has_exemplars))


class OneProcess(Collector):
    """All metrics where this process is the only one."""

    def __init__(self, answering: Mapping[str, bool] | None = None) -> None:
        self.answering = answering

    def collect(self) -> Iterator[Metric]:
        yield from REGISTRY.collect()
        yield from metrics_of_scrape({"web-0": os.getpid()}, 0, self.answering)


class AllProcesses(Collector):
    """All metrics of the processes that have written to `directory`."""

    def __init__(self, directory: Path, answering: Mapping[str, bool] | None, *, has_exemplars: bool) -> None:
        self.directory = directory
        self.answering = answering
        self.has_exemplars = has_exemplars

    def collect(self) -> Iterator[Metric]:
        live = live_slots(self.directory)
        families, unreadable = read_families(self.directory, live)
        if self.has_exemplars:
            add_exemplars(families, read_exemplars(self.directory))
        yield from families
        yield from metrics_of_scrape(live, unreadable, self.answering)


def metrics_of_scrape(
    live: Mapping[str, int], unreadable: int, answering: Mapping[str, bool] | None
) -> Iterator[Metric]:
    """Yields what is measured at a scrape. `live`: the process of each slot; `unreadable`: damaged files."""
    build = GaugeMetricFamily(
        "amani_build_info",
        "1, with the running version and its environment as labels.",
        labels=["version", "environment"],
    )
    build.add_metric([settings.VERSION, settings.ENVIRONMENT], 1)
    yield build
    yield GaugeMetricFamily(
        "amani_metric_files_unreadable", "Metric files left out of this scrape as damaged.", value=unreadable
    )
    if answering is not None:
        yield dependency_metrics(answering)
    yield from memory_metrics(live)


def dependency_metrics(answering: Mapping[str, bool]) -> Metric:
    family = GaugeMetricFamily(
        "amani_dependency_up",
        "1 while the database or Redis answers the web process that is scraped, within a second.",
        labels=["dependency"],
    )
    for name in DEPENDENCIES:
        family.add_metric([name], answering[name])
    return family


def memory_metrics(live: Mapping[str, int]) -> Iterator[Metric]:
    if not Path("/proc/self/statm").exists():
        return
    family = GaugeMetricFamily(
        "amani_process_resident_memory_bytes",
        "Resident memory of all live processes of a role.",
        labels=["role"],
    )
    for role in ROLES:
        family.add_metric(
            [role], sum(resident_bytes(pid) for name, pid in live.items() if role_of(name) == role)
        )
    yield family


def resident_bytes(process_id: int) -> int:
    try:
        pages = Path(f"/proc/{process_id}/statm").read_text().split()[1]
    except (OSError, IndexError):  # ended since
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
