"""What the demo's alerts are about, and what happened to each. Times are minutes before now."""

from __future__ import annotations

from typing import NamedTuple

from observability.models import Delivery

State = Delivery.State


class Story(NamedTuple):
    """One alert.

    `lasted`: minutes; None while it still fires. `outcomes`: how its first notification ended on each channel
    where it did not just arrive.
    """

    alertname: str
    severity: str
    summary: str
    began: int
    lasted: int | None = None
    labels: dict[str, str] = {}
    description: str = ""
    expression: str = ""
    outcomes: dict[str, State] = {}
    acknowledged: int | None = None
    notes: tuple[tuple[int, str], ...] = ()


STORIES = (
    Story(
        "HighErrorRate",
        "critical",
        "6.3% of requests fail",
        began=6 * 24 * 60 + 211,
        lasted=17,
        labels={"job": "amani", "service": "amani", "endpoint": "/api/v1/escrows/{id}/release"},
        description="6.3% of the requests of the last 5 minutes got a 5xx status (threshold 5%).",
    ),
    Story(
        "ApplicationDown",
        "critical",
        "Amani does not answer on web-1",
        began=3 * 24 * 60 + 95,
        lasted=6,
        labels={"job": "amani", "service": "amani", "instance": "web-1:8000"},
        description="Prometheus could not reach web-1:8000 for 2 minutes.",
        outcomes={"slack": State.DEAD},
        acknowledged=3 * 24 * 60 + 92,
    ),
    Story(
        "HighResponseTime",
        "warning",
        "The slowest 5% of requests take 1.9 s",
        began=26 * 60,
        lasted=38,
        labels={"job": "amani", "service": "amani"},
        description="The 95th percentile of the last 5 minutes is 1.9 s (threshold 1 s).",
        acknowledged=26 * 60 - 9,
    ),
    Story(
        "DiskSpaceLow",
        "warning",
        "8% of the disk is free on web-2",
        began=185,
        labels={"job": "node", "instance": "web-2:9100", "mountpoint": "/", "device": "/dev/nvme0n1p1"},
        description="8% of / is free (threshold 10%). At the present rate it is full in 31 hours.",
        expression="node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.1",
    ),
    Story(
        "DatabaseConnectionIssues",
        "critical",
        "92 of 100 database connections are in use",
        began=47,
        labels={"job": "amani", "service": "amani", "instance": "db-1:5432"},
        description="92 of 100 connections are in use for more than 5 minutes. New requests will soon wait.",
        expression="db_connections_active > 80",
        acknowledged=41,
        notes=((33, "A report holds 60 connections; asked finance to stop it."),),
    ),
    Story(
        "HighErrorRate",
        "critical",
        "11.8% of requests fail",
        began=12,
        labels={"job": "amani", "service": "amani", "endpoint": "/api/v1/escrows/{id}/release"},
        description="11.8% of the requests of the last 5 minutes got a 5xx status (threshold 5%).",
        expression='sum(rate(http_requests_total{status=~"5.."}[5m]))'
        " / sum(rate(http_requests_total[5m])) > 0.05",
        outcomes={"pagerduty": State.FAILED},
    ),
    Story(
        "PayoutQueueStuck",
        "error",
        "No payout has left the queue for 20 minutes",
        began=21,
        labels={"severity": "blocker", "service.name": "payouts", "service.namespace": "payments"},
        description="214 payouts wait; the oldest has waited for 24 minutes.",
    ),
    Story(
        "CertificateExpires",
        "info",
        "The certificate of amani.example expires in 21 days",
        began=9 * 60,
        labels={"job": "blackbox", "instance": "https://amani.example"},
    ),
)
# Eight machines at once, notified in one message.
STORM_BEGAN = 29 * 60
STORM = tuple(
    Story(
        "NodeDown",
        "warning",
        f"web-{number}:9100 does not answer",
        began=STORM_BEGAN,
        lasted=4,
        labels={"instance": f"web-{number}:9100"},
    )
    for number in range(1, 9)
)
