from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from core.commands import ReportingCommand


class Count(ReportingCommand):
    def handle(self, *args: Any, **options: Any) -> None:
        facts = {"found": 2, "until": datetime(2026, 1, 2, tzinfo=UTC)}
        self.report(options, facts, "Found 2.", "That is all.")


@pytest.mark.parametrize(
    ("arguments", "written"),
    [((), "Found 2.\nThat is all.\n"), (("--json",), '{"found": 2, "until": "2026-01-02 00:00:00+00:00"}\n')],
)
def test_a_command_reports_in_lines_or_in_one_document(arguments: tuple[str, ...], written: str) -> None:
    out = StringIO()
    call_command(Count(), *arguments, stdout=out)
    assert out.getvalue() == written


def test_a_command_can_be_called_from_code_with_json() -> None:
    out = StringIO()
    call_command(Count(), json=True, stdout=out)
    assert json.loads(out.getvalue())["found"] == 2
