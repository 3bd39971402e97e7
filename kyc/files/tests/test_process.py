"""Tests the process that rewrites files: what it returns, and its limits."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from pypdf import PdfReader

from kyc.files import images, pdf, process
from kyc.files.kinds import JPEG, PDF, PNG
from kyc.files.refusal import FileProblem, Reason
from kyc.files.tests import made


def test_the_process_returns_what_the_functions_return() -> None:
    assert process.remade(made.pdf(), PDF) == pdf.rewritten(made.pdf())
    assert process.remade(made.jpeg(6), JPEG) == images.redrawn(made.jpeg(6), JPEG)


def largest(mode: str) -> bytes:
    """A PNG of one colour just below the limit, which takes 250 KB and is 30 million pixels."""
    result = BytesIO()
    side = int(images.MOST_PIXELS**0.5)
    Image.new(mode, (side, side)).save(result, "PNG", exif=made.exif(6))
    return result.getvalue()


def peak_bytes() -> int:
    """Returns the most memory that this process had since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def forget_peak() -> int:
    """Sets the peak to the present memory, and returns it."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def test_the_largest_picture_is_taken_and_costs_this_process_no_memory() -> None:
    """In the mode that needs most: grey with transparency."""
    content = largest("LA")
    before = forget_peak()

    result = process.remade(content, PNG)

    assert result.startswith(made.png()[:8])
    assert peak_bytes() - before < 32 * 2**20


def test_the_process_passes_a_refusal_on() -> None:
    with pytest.raises(FileProblem, match="locked by a password") as caught:
        process.remade(made.locked_pdf(), PDF)
    assert caught.value.reason == Reason.UNREADABLE


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256-R5", "AES-256"])
def test_a_pdf_that_only_its_owner_may_edit_is_taken_and_stored_unlocked(algorithm: str) -> None:
    restricted = made.restricted_pdf(algorithm)
    assert PdfReader(BytesIO(restricted)).is_encrypted
    reader = PdfReader(BytesIO(process.remade(restricted, PDF)))
    assert not reader.is_encrypted
    contents = reader.pages[0].get_contents()
    assert contents is not None
    assert contents.get_data().strip() == b"0 0 100 100 re f"


def stand_in(monkeypatch: pytest.MonkeyPatch, work: str) -> None:
    """The same process, in which something else takes the place of the function that rewrites a PDF."""
    code = (
        "import os, sys, time\nfrom kyc.files import pdf, process\nprocess.CPU_SECONDS = 1\n"
        f"def work(content):\n    {work}\n"
        "pdf.rewritten = work\nsys.exit(process.main(sys.argv[1]))"
    )
    monkeypatch.setattr(process, "COMMAND", [sys.executable, "-E", "-s", "-c", code])


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        ("while True: pass", Reason.BOMB),
        ("bytes(2**30); return content", Reason.UNREADABLE),
        ("open('/dev/shm/clear', 'w').write('x' * 99999); return content", Reason.UNREADABLE),
    ],
)
def test_the_process_may_not_compute_for_long_nor_use_much_memory_nor_write_files(
    monkeypatch: pytest.MonkeyPatch, work: str, reason: Reason
) -> None:
    stand_in(monkeypatch, work)

    with pytest.raises(FileProblem) as caught:
        process.remade(made.pdf(), PDF)

    assert caught.value.reason == reason


def test_a_process_that_gets_no_processor_time_is_ended_and_the_file_is_not_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_in(monkeypatch, "time.sleep(600)")
    monkeypatch.setattr(process, "TOTAL_SECONDS", 0.3)

    with pytest.raises(process.TooBusy):
        process.remade(made.pdf(), PDF)


def test_the_process_knows_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "a secret")
    stand_in(monkeypatch, "return ' '.join(os.environ).encode()")

    assert b"SECRET_KEY" not in process.remade(b"", PDF)
