from __future__ import annotations

import pytest

from observability.rules.durations import read_duration


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("90", 90), ("0", 0), (" 5m ", 300), ("1h30m", 5400), ("500ms", 0.5), ("2w", 1_209_600.0)],
)
def test_a_duration_is_typed_as_prometheus_writes_it_or_in_seconds(typed: str, seconds: float) -> None:
    assert read_duration(typed) == seconds


@pytest.mark.parametrize("typed", ["", "5 m", "-5m", "m5", "1.5h", "٣x", "5m3h"])
def test_what_is_no_duration_is_refused_with_what_to_do(typed: str) -> None:
    with pytest.raises(ValueError, match="Write a duration such as 90s, 5m or 1h30m"):
        read_duration(typed)


@pytest.mark.parametrize("typed", ["31d", "9" * 400])
def test_a_duration_has_an_end(typed: str) -> None:
    with pytest.raises(ValueError, match="Thirty days"):
        read_duration(typed)
