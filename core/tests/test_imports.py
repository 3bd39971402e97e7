"""The pause of the collector while a process imports Amani."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from core import imports

STARTED = "import gc, django; django.setup(); print(gc.isenabled(), gc.get_freeze_count() > 100_000)"


@pytest.fixture
def as_before() -> Iterator[None]:
    was_enabled = gc.isenabled()
    yield
    (gc.enable if was_enabled else gc.disable)()


def test_a_process_that_has_started_collects_but_not_what_it_imported() -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "amani.settings"}
    command = [sys.executable, "-c", STARTED]
    started = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert started.stdout.split() == ["True", "True"]


@pytest.mark.parametrize("before", [True, False])
def test_a_program_that_does_not_collect_is_left_so(
    as_before: None, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "collected_before", before)
    imports.pause_collector()
    assert not gc.isenabled()
    imports.resume_collector()
    assert gc.isenabled() is before
