"""docs/security.md names tests that exist, and other documents lead to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
NAMED_TEST = re.compile(r"`([a-z_/0-9]+/test_\w+\.py)(?:::(\w+))?`")
ROWS = [
    cells
    for line in (ROOT / "docs" / "security.md").read_text().splitlines()
    if line.startswith("|") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 3
    if cells[0] not in ("threat", "---")
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:60] for row in ROWS])
def test_each_threat_names_what_holds_it_and_a_test_that_exists(row: list[str]) -> None:
    threat, holds, tests = row
    found = NAMED_TEST.findall(tests)
    assert threat
    assert holds
    assert found
    for file, name in found:
        assert f"def {name}(" in (ROOT / file).read_text() if name else (ROOT / file).exists(), (file, name)


@pytest.mark.parametrize(
    ("file", "link"), [("SECURITY.md", "docs/security.md"), ("README.md", "docs/security.md")]
)
def test_readers_are_led_to_it(file: str, link: str) -> None:
    assert f"]({link})" in (ROOT / file).read_text()
