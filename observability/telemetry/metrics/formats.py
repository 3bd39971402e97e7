"""The two formats of an answer to a scrape: Prometheus' text 0.0.4, and OpenMetrics 1.0, which has exemplars.

What is written here is what prometheus_client's encoders write for the same series.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import openmetrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from observability.telemetry.metrics.merge import Child, Family

MINUS_INFINITY = float("-inf")
LEAST_EXPONENT = 1e6  # from here on Go, and with it floatToGoString, writes an exponent

Encode = Callable[[Collector], bytes]


class Format(NamedTuple):
    content_type: str
    encode: Encode  # upstream's, for what is not in a file
    total: str  # what the name of a counter has behind it in HELP and TYPE
    escape_quotes: bool
    has_exemplars: bool


TEXT = Format(CONTENT_TYPE_PLAIN_0_0_4, generate_latest, "_total", escape_quotes=False, has_exemplars=False)
OPENMETRICS = Format(
    openmetrics.exposition.CONTENT_TYPE_LATEST,
    openmetrics.exposition.generate_latest,
    "",
    escape_quotes=True,
    has_exemplars=True,
)


def choose_format(accept: str) -> Format:
    """The first that we know of the accepted ones, as upstream chooses; quality values are not looked at."""
    for offer in accept.lower().split(","):
        media_type, *parameters = [part.strip() for part in offer.split(";")]
        version = next((one[8:] for one in parameters if one.startswith("version=")), "")
        if media_type == "application/openmetrics-text" and not version.startswith("0"):
            return OPENMETRICS
        if media_type == "text/plain" and version.startswith("1"):
            return TEXT
    return TEXT


def write_families(families: Iterable[Family], form: Format, exemplars: Mapping[bytes, str]) -> str:
    """`exemplars` are what stands behind the value of a bucket or counter, by the digest of its key."""
    lines: list[str] = []
    for family in families:
        lines += heading(family, form)
        lines += value_lines(family, exemplars)
        for labels, child in family.children.items():
            lines += histogram_lines(family.name, labels, child, exemplars)
    return "".join(lines)


def heading(family: Family, form: Format) -> tuple[str, str]:
    name = family.name + form.total if family.type == "counter" else family.name
    documentation = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    if form.escape_quotes:
        documentation = documentation.replace('"', r"\"")
    return f"# HELP {name} {documentation}\n", f"# TYPE {name} {family.type}\n"


def value_lines(family: Family, exemplars: Mapping[bytes, str]) -> list[str]:
    if not exemplars:
        return [line_of(line, value) for line, value in family.values.items()]
    digests = family.digests
    return [line_of(line, value, exemplars.get(digests[line], "")) for line, value in family.values.items()]


def histogram_lines(name: str, labels: str, child: Child, exemplars: Mapping[bytes, str]) -> Iterator[str]:
    for line, value in child.sums.items():
        yield line_of(line, value)
    count = 0.0
    for bound in sorted(child.buckets):
        count += child.buckets[bound]
        series = child.series[bound]
        exemplar = exemplars.get(series.digest, "")
        yield line_of(series.line, count, exemplar)
    if child.buckets:
        yield line_of(f"{name}_count{labels} ", count)


def line_of(line: str, value: float, exemplar: str = "") -> str:
    if MINUS_INFINITY < value < LEAST_EXPONENT:
        return f"{line}{value!r}{exemplar}\n"
    return f"{line}{floatToGoString(value)}{exemplar}\n"  # type: ignore[no-untyped-call]
