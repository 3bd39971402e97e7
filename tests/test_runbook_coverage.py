"""docs/runbook-coverage.md names tests that exist, and every command of the runbook."""

from __future__ import annotations

import re

import pytest

from tests.compose_files import ROOT

TABLE = (ROOT / "docs" / "runbook-coverage.md").read_text()
ROWS = [line for line in TABLE.splitlines() if line.startswith("| ")][1:]
COMMANDS = (
    "docker-compose up -d",
    "docker-compose up -d grafana",
    "docker-compose up -d jaeger",
    "docker-compose restart app",
    "docker logs amani-backend",
    "docker logs amani-prometheus",
    "docker ps",
    "curl http://localhost:8000/metrics",
    "curl 'http://localhost:9090/api/v1/query?query=http_requests_total'",
    "curl http://localhost:8000/api/v1/health",
    "open http://localhost:9090",
    "open http://localhost:3000",
    "open http://localhost:16686",
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:60])
def test_a_row_names_tests_that_exist(row: str) -> None:
    named = re.findall(r"`((?:observability/)?tests/[^`]+)`", row)
    assert named
    for test in named:
        file, _, function = test.partition("::")
        text = (ROOT / file).read_text()
        assert not function or f"def {function}(" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_runbook_has_a_row(command: str) -> None:
    assert f"`{command}`" in TABLE
