"""What the keys of metric files mean, and how their series are written in an answer to a scrape.

A key is JSON: [metric, series, {label: value}, help]. It is parsed once in the life of a process; after
that a scrape finds it by its raw bytes.
"""

import json
import re
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from prometheus_client.utils import floatToGoString

METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
DIGEST_BYTES = 16

decoder = json.JSONDecoder()


class Series(NamedTuple):
    metric: str
    documentation: str
    line: str  # name, labels and a space: all but the value
    child: str  # the labels that a histogram's sum and buckets have in common, in braces; "" without any
    bound: float | None  # of a bucket
    digest: bytes  # names a bucket or counter in the files of exemplars; empty for all else


def key_digest(key: bytes) -> bytes:
    return blake2b(key, digest_size=DIGEST_BYTES).digest()


def parse_key(key: bytes, metric_type: str) -> Series:
    """ValueError for what our metrics don't write."""
    metric, name, labels, documentation = parts_of(key.decode())
    if metric_type != "histogram":
        digest = key_digest(key) if metric_type == "counter" else b""
        return Series(metric, documentation, f"{name}{braces(labels)} ", "", None, digest)
    if "le" not in labels:
        child = braces(labels)
        return Series(metric, documentation, f"{name}{child} ", child, None, b"")
    bound, text = read_bound(labels.pop("le"))
    child = braces(labels)
    labels["le"] = text
    return Series(metric, documentation, f"{metric}_bucket{braces(labels)} ", child, bound, key_digest(key))


def parts_of(text: str) -> tuple[str, str, dict[str, str], str]:
    parsed, end = decoder.raw_decode(text)
    match parsed:
        case [str(metric), str(name), dict(labels), str(documentation)] if end == len(text):
            require_name(metric, METRIC_NAME)
            require_name(name, METRIC_NAME)
            return metric, name, labels, documentation
    raise ValueError("not the key of a metric")


def braces(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join([labelled(name, labels[name]) for name in sorted(labels)]) + "}"


@lru_cache(maxsize=4096)  # a histogram says the same of each of its buckets
def labelled(name: str, value: str) -> str:
    require_name(name, LABEL_NAME)
    if not isinstance(value, str):
        raise ValueError("a label's value is not a text")  # noqa: TRY004  (one error for all damage)
    return f'{name}="{escape(value)}"'


def escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


@lru_cache(maxsize=512)
def require_name(name: str, pattern: re.Pattern[str]) -> None:
    """Without this, what is damaged could write lines of its own into the answer."""
    if not pattern.fullmatch(name):
        raise ValueError("not the name of a metric or label")


@lru_cache(maxsize=512)
def read_bound(text: str) -> tuple[float, str]:
    bound = float(text)
    return bound, floatToGoString(bound)  # type: ignore[no-untyped-call]
