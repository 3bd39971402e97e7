"""Scrapes a folder of metric files, by commands from stdin, one a line; `benchmarks.scrape` asks.

    python -m benchmarks.scraper ours|upstream FOLDER

`cpu`: CPU-SECONDS of one scrape. `calls`: its Python calls. `lines`: its lines of HTTP metrics, which both
have. `exemplars N`: added MICROSECONDS of an observation with an exemplar, of N.
"""

import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

Scrape = Callable[[], bytes]


def ours(folder: str) -> Scrape:
    from django.conf import settings

    settings.configure(PROMETHEUS_MULTIPROC_DIR=folder, VERSION="benchmark")
    from observability.telemetry.metrics.exposition import TEXT, write_metrics

    return lambda: write_metrics(TEXT)


def upstream(folder: str) -> Scrape:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    return lambda: generate_latest(registry)


def cpu_seconds(scrape: Scrape) -> float:
    began = time.process_time()
    scrape()
    return time.process_time() - began


def calls(scrape: Scrape) -> int:
    profile = cProfile.Profile()
    profile.runcall(scrape)
    total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return total


def lines(scrape: Scrape) -> int:
    return sum(line.startswith("http_") for line in scrape().decode().splitlines())


def exemplar_microseconds(count: int) -> float:
    from observability.metrics import query_durations
    from observability.telemetry.metrics.slots import take_slot
    from observability.telemetry.metrics.storage import store

    histogram = query_durations["SELECT"]
    labels = {
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "request_id": "b7ad6b7169203331b7ad6b7169203331",
    }
    with TemporaryDirectory() as folder:
        store.attach(take_slot(Path(folder), "web"))
        times = []
        for exemplar in (None, labels):
            histogram.observe(0.003, exemplar)
            began = time.process_time()
            for _ in range(count):
                histogram.observe(0.003, exemplar)
            times.append(time.process_time() - began)
        store.release()
    return (times[1] - times[0]) / count * 1e6


def answer(scrape: Scrape, command: str, argument: str) -> object:
    if command == "exemplars":
        return exemplar_microseconds(int(argument))
    return {"cpu": cpu_seconds, "calls": calls, "lines": lines}[command](scrape)


def main(kind: str, folder: str) -> None:
    scrape = {"ours": ours, "upstream": upstream}[kind](folder)
    print("ready", flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        print(answer(scrape, command, argument), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
