"""Metric files as processes leave them behind, without the processes."""

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client.mmap_dict import mmap_key

HEADER_BYTES = 8
BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "+Inf")

Entries = Mapping[str, float]


def key(metric: str, series: str, documentation: str = "A help.", **labels: str) -> str:
    return mmap_key(metric, series, list(labels), list(labels.values()), documentation)


def histogram_entries(metric: str, counts: Iterable[float], total: float, **labels: str) -> Entries:
    """The keys of one child in the order in which prometheus_client makes them."""
    entries = {key(metric, f"{metric}_sum", **labels): total}
    for bound, count in zip(BOUNDS, counts, strict=False):
        entries[key(metric, f"{metric}_bucket", **labels, le=bound)] = count
    return entries


def write_file(path: Path, entries: Entries, timestamp: float = 0.0) -> Path:
    body = b"".join(entry(name.encode(), value, timestamp) for name, value in entries.items())
    path.write_bytes(struct.pack("=i4x", HEADER_BYTES + len(body)) + body + bytes(512))
    return path


def entry(name: bytes, value: float, timestamp: float) -> bytes:
    padded = name + b" " * (8 - (len(name) + 4) % 8)
    return struct.pack(f"=i{len(padded)}sdd", len(name), padded, value, timestamp)


def write_processes(folder: Path, processes: Iterable[str], samples: int) -> list[Path]:
    """Files of `processes` (slots or process ids) with `samples` series each, four fifths of histograms."""
    children = samples * 4 // 5 // (len(BOUNDS) + 1)
    histograms: dict[str, float] = {}
    for number in range(children):
        labels = {"method": "GET", "endpoint": f"/api/v1/things/{number}"}
        histograms |= histogram_entries("http_request_duration_seconds", range(99), 1.5, **labels)
    counters = {
        key("http_requests", "http_requests_total", endpoint=f"/api/v1/things/{number}"): float(number)
        for number in range(samples - len(histograms))
    }
    kinds = {"counter": counters, "histogram": histograms}
    return [
        write_file(folder / f"{kind}_{process}.db", entries)
        for process in processes
        for kind, entries in kinds.items()
    ]
