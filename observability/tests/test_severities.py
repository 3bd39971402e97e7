"""Severities of other rules become one of the four, or are stored as unknown."""

import re
from pathlib import Path
from typing import Any

import pytest

from observability import severities
from observability.alerts.intake.payload import read_payload
from observability.models.episode import Severity
from observability.tests.payloads import alert, body

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("critical", "critical"),
        ("critical ", "critical"),
        (" Critical\n", "critical"),
        ("CRIT", "critical"),
        ("emergency", "critical"),
        ("fatal", "critical"),
        ("disaster", "critical"),
        ("page", "critical"),
        ("P1", "critical"),
        ("P-1", "critical"),
        ("sev1", "critical"),
        ("SEV-1", "critical"),
        ("sev 0", "critical"),
        ("error", "error"),
        ("err", "error"),
        ("major", "error"),
        ("High", "error"),
        ("p2", "error"),
        ("SEV_2", "error"),
        ("WARNING", "warning"),
        ("warn", "warning"),
        ("minor", "warning"),
        ("moderate", "warning"),
        ("medium", "warning"),
        ("average", "warning"),
        ("p3", "warning"),
        ("info", "info"),
        ("information", "info"),
        ("Informational", "info"),
        ("notice", "info"),
        ("debug", "info"),
        ("low", "info"),
        ("none", "info"),
        ("ok", "info"),
        ("P5", "info"),
    ],
)
def test_severity_is_read_without_blanks_and_case_and_by_its_usual_names(given: str, read: str) -> None:
    assert severities.read(given) == (read, False)
    [row] = read_payload(body(alert(severity=given))).alerts
    assert (row["severity"], row["severity_is_unknown"]) == (read, False)


@pytest.mark.parametrize(
    "given", ["blocker", "7", "not critical", "critical/error", "?", "критично", "x" * 9000]
)
def test_severity_that_stays_unknown_is_an_error_and_marked(given: str) -> None:
    assert severities.read(given) == ("error", True)
    [row] = read_payload(body(alert(severity=given))).alerts
    assert (row["severity"], row["severity_is_unknown"]) == ("error", True)


@pytest.mark.parametrize("labels", [{}, {"severity": ""}, {"severity": " \t"}, {"severity": None}])
def test_alert_that_gives_no_severity_is_a_warning_and_not_marked(labels: dict[str, Any]) -> None:
    [row] = read_payload(body(alert(labels={"alertname": "A"} | labels))).alerts
    assert (row["severity"], row["severity_is_unknown"]) == ("warning", False)


def test_setting_maps_other_names_and_goes_before_the_usual_meaning(settings: Any) -> None:
    settings.ALERT_SEVERITY_MAP = {"blocker": "critical", "page": "error"}
    given = ["Blocker ", "page", "meh", "critical"]
    rows = read_payload(body(*(alert(n, severity=name) for n, name in enumerate(given)))).alerts
    assert [(row["severity"], row["severity_is_unknown"]) for row in rows] == [
        ("critical", False),
        ("error", False),
        ("error", True),
        ("critical", False),
    ]


def test_there_are_the_four_severities_of_the_rows() -> None:
    assert list(severities.SEVERITIES) == Severity.values
    assert set(severities.MEANINGS.values()) == set(severities.SEVERITIES)
    assert all(severities.plain(name) == name for name in severities.MEANINGS)
    assert len(severities.MEANINGS) == 4 + sum(map(len, severities.ALSO_CALLED.values()))


def test_operations_page_lists_every_name() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (`.+`) \|$", OPERATIONS.read_text(), re.MULTILINE)
    listed = {severity: tuple(re.findall(r"`(\w+)`", names)) for severity, names in rows}
    assert {severity: listed[severity] for severity in severities.SEVERITIES} == severities.ALSO_CALLED
