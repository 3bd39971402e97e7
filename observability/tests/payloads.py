"""Webhook bodies as Alertmanager 0.25.0 sends them, and a way to vary them."""

from __future__ import annotations

import json
from typing import Any

ZERO_TIME = "0001-01-01T00:00:00Z"


def alert(
    number: int = 1, *, status: str = "firing", severity: str = "critical", **changes: Any
) -> dict[str, Any]:
    """One alert; `number` makes fingerprint and instance."""
    return {
        "status": status,
        "labels": {
            "alertname": "HighErrorRate",
            "instance": f"web-{number}",
            "job": "amani",
            "severity": severity,
        },
        "annotations": {"summary": f"Errors on web-{number}", "description": "5 % of requests fail."},
        "startsAt": "2026-11-23T03:00:00.123456789Z",
        "endsAt": "2026-11-23T03:10:00Z" if status == "resolved" else ZERO_TIME,
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
        "fingerprint": f"{number:016x}",
    } | changes


def payload(*alerts: Any, **changes: Any) -> dict[str, Any]:
    return {
        "receiver": "amani",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": {"alertname": "HighErrorRate"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "version": "4",
        "groupKey": '{}:{alertname="HighErrorRate"}',
        "truncatedAlerts": 0,
    } | changes


def body(*alerts: Any, **changes: Any) -> bytes:
    return json.dumps(payload(*alerts, **changes)).encode()
