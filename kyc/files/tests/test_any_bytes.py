"""Tests with random bytes that a file is accepted or refused within bounded memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kyc.files import images, kinds, pdf
from kyc.files.refusal import FileProblem
from kyc.files.tests import made

VALID = (
    made.jpeg(),
    made.jpeg(progressive=True),
    made.png(),
    made.png(mode="P"),
    made.apng(),
    made.mpo(),
    made.pdf(),
    made.one_page(),
)
MOST_BYTES = 64 * 2**20
BEGINNINGS = (b"", *kinds.MAGIC)
careful = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def taken_or_refused(content: bytes) -> None:
    """As kyc.documents.clean does it, without the process around a PDF. Any other exception fails."""
    try:
        kind = kinds.kind_of(content)
        kinds.refuse_other_formats(content, kind)
        result = pdf.rewritten(content) if kind == kinds.PDF else images.redrawn(content, kind)
    except FileProblem:
        return
    assert kinds.kind_of(result) == kind


@careful
@given(st.sampled_from(BEGINNINGS), st.binary(max_size=4_000))
def test_random_bytes_are_taken_or_refused(beginning: bytes, rest: bytes) -> None:
    taken_or_refused(beginning + rest)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 8))
        content[start : start + length] = draw(st.binary(max_size=8))
    return bytes(content)


@careful
@given(mutated())
def test_damaged_files_are_taken_or_refused_in_bounded_memory(content: bytes) -> None:
    tracemalloc.start()
    try:
        taken_or_refused(content)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
