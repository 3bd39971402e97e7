"""A short run of `make torture`: kill -9 of writers and of PostgreSQL loses no transfer that was answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.torture.run import Plan, Torture


@pytest.mark.faults
@pytest.mark.processes
def test_killing_writers_and_the_database_loses_no_transfer_and_breaks_no_rule(service_folder: Path) -> None:
    plan = Plan(transfers=1_500, writers=4, writer_kills=6, server_kills=2)
    result = Torture(service_folder, plan).run()
    assert result.answered >= plan.transfers
    assert (result.writer_kills, result.server_kills) == (6, 2)
    assert result.is_right, result
