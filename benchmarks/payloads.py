"""Webhook bodies of Alertmanager version 4: 8 labels and 3 annotations an alert."""

import json
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

GROUP_MARK = "@@GROUP@@@"  # ten characters, as a group's name
ZERO_TIME = "0001-01-01T00:00:00Z"
STARTS_AT = "2026-01-01T00:00:00Z"


def group_names(seed: int) -> Iterator[str]:
    """Ten hexadecimal digits each; random, so that index pages are hit as fingerprints hit them."""
    numbers = random.Random(seed)  # noqa: S311
    while True:
        yield f"{numbers.getrandbits(40):010x}"


def identity(group: str, index: int) -> str:
    """Fingerprint and instance of one alert of a group; a message that names the alert contains it."""
    return f"{group}{index:06x}"


def alert(index: int, status: str, severity: str) -> dict[str, Any]:
    name = identity(GROUP_MARK, index)
    return {
        "status": status,
        "labels": {
            "alertname": "BenchmarkAlert",
            "instance": name,
            "job": "payments-api",
            "severity": severity,
            "service": "payments",
            "cluster": "eu-central-1",
            "namespace": "production",
            "team": "platform",
        },
        "annotations": {
            "summary": f"Something is wrong on {name}",
            "description": "The share of failing requests has been over five percent for five minutes.",
            "runbook_url": "https://runbooks.example.org/BenchmarkAlert",
        },
        "startsAt": STARTS_AT,
        "endsAt": "2026-01-01T01:00:00Z" if status == "resolved" else ZERO_TIME,
        "generatorURL": "http://prometheus.example.org:9090/graph?g0.expr=sum%28rate%28errors%5B5m%5D%29%29",
        "fingerprint": name,
    }


@cache
def template(size: int, status: str, severity: str) -> bytes:
    document = {
        "receiver": "amani",
        "status": status,
        "alerts": [alert(index, status, severity) for index in range(size)],
        "groupLabels": {"alertname": "BenchmarkAlert"},
        "commonLabels": {"alertname": "BenchmarkAlert", "job": "payments-api", "severity": severity},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.org:9093",
        "version": "4",
        "groupKey": f'{{}}:{{group="{GROUP_MARK}"}}',
        "truncatedAlerts": 0,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def body(group: str, size: int, status: str = "firing", severity: str = "warning") -> bytes:
    return template(size, status, severity).replace(GROUP_MARK.encode(), group.encode())
