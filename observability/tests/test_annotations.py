"""Summary, description, runbook and dashboard are found under any usual name of an annotation."""

from typing import Any

import pytest

from observability.alerts.intake.annotations import (
    dashboard_of,
    description_of,
    names_shown_elsewhere,
    runbook_of,
    summary_of,
)
from observability.alerts.intake.payload import read_payload
from observability.tests.payloads import alert, body

RUNBOOK = "https://wiki.example/runbook"
BOARD = "https://grafana.example/d/1"


@pytest.mark.parametrize(
    ("annotations", "summary", "description"),
    [
        ({"summary": "S", "description": "D"}, "S", "D"),
        ({"message": "M"}, "M", ""),
        ({"title": "T", "message": "M"}, "T", "M"),
        ({"title": "T", "description": "D", "message": "M"}, "T", "D"),
        ({"summary": "S", "title": "T", "message": "M"}, "S", "M"),
        ({"summary": " \n", "title": "T"}, "T", ""),
        ({"description": "D"}, "", "D"),
        ({"Summary": "S"}, "", ""),
        ({}, "", ""),
    ],
)
def test_texts_come_from_the_first_annotation_that_has_one(
    annotations: dict[str, str], summary: str, description: str
) -> None:
    assert (summary_of(annotations), description_of(annotations)) == (summary, description)
    [row] = read_payload(body(alert(annotations=annotations))).alerts
    assert row["summary"] == summary


@pytest.mark.parametrize(
    ("annotations", "runbook", "dashboard"),
    [
        ({"runbook_url": RUNBOOK, "dashboard_url": BOARD}, RUNBOOK, BOARD),
        ({"runbook": RUNBOOK, "dashboard": BOARD}, RUNBOOK, BOARD),
        ({"runbook_url": "see the wiki", "runbook": RUNBOOK}, RUNBOOK, ""),
        ({"runbook": "Restart it.", "dashboard": "javascript:alert(1)"}, "", ""),
        ({}, "", ""),
    ],
)
def test_links_come_from_the_first_annotation_with_an_address(
    annotations: dict[str, str], runbook: str, dashboard: str
) -> None:
    assert (runbook_of(annotations), dashboard_of(annotations)) == (runbook, dashboard)


def test_order_is_a_setting(settings: Any) -> None:
    settings.ALERT_SUMMARY_ANNOTATIONS = ("headline", "message", "summary")
    settings.ALERT_DESCRIPTION_ANNOTATIONS = ("message", "summary")
    settings.ALERT_RUNBOOK_ANNOTATIONS = ("howto", "runbook_url")
    settings.ALERT_DASHBOARD_ANNOTATIONS = ("board", "dashboard_url")
    annotations = {"summary": "S", "message": "M", "howto": RUNBOOK, "runbook_url": BOARD, "board": BOARD}
    assert summary_of(annotations) == "M"
    assert description_of(annotations) == "S"
    assert runbook_of(annotations) == RUNBOOK
    assert dashboard_of(annotations) == BOARD


def test_annotations_that_are_shown_elsewhere_are_known_and_the_others_remain() -> None:
    annotations = {"title": "T", "message": "M", "runbook": RUNBOOK, "description": " ", "impact": "buyers"}
    assert names_shown_elsewhere(annotations) == {"title", "message", "runbook"}
    assert names_shown_elsewhere({"runbook": "Restart it."}) == set()
