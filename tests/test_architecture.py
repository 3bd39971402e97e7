"""docs/architecture.md: the paths that it walks file by file exist and are short."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs/architecture.md").read_text()
# Path, the folder that its text leaves out of the names, and how many files a newcomer should have to open.
WALKS = [
    ("**An alert**", "observability/alerts", 18),
    ("**A request**", "observability/telemetry", 12),
    ("**A case of KYC**", "kyc", 25),
]


def files_of(walk: str, folder: str) -> list[Path]:
    """Returns the files that a walk names: in its folder, in the whole tree, or beside the one before."""
    text = DOCUMENT.split(walk, 1)[1].split("\n**", 1)[0]
    places = [ROOT / folder, ROOT]
    found: list[Path] = []
    for name in re.findall(r"`([\w/]+\.py)`", text):
        beside = [found[-1].parent] if found else []
        found.append(next(place / name for place in [*places, *beside] if (place / name).is_file()))
    return found


@pytest.mark.parametrize(("walk", "folder", "most"), WALKS)
def test_a_path_names_files_that_exist_and_is_short(walk: str, folder: str, most: int) -> None:
    files = set(files_of(walk, folder))
    assert 8 <= len(files) <= most, sorted(str(file.relative_to(ROOT)) for file in files)
