"""Durations as Prometheus writes them, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.value_types import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("100ms", 0.1),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("1d", 86_400),
        ("1w", 604_800),
        ("1y", 31_536_000),
        ("1y2w3d4h5m6s7ms", 33_019_506.007),
        ("90m", 5400),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    """Units from years to milliseconds, in descending order, add up."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "1m1h", "1.5h", "-5s", "5 m", "s", "1s1s", "5M", "٣s", "1s\n", "9" * 13 + "s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Anything else is refused with an example of what is meant."""
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


def test_a_duration_beyond_all_sense_is_refused() -> None:
    """More than a hundred years is a mistake."""
    with pytest.raises(ValueError, match="hundred years"):
        parse_duration("101y")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.25, "250ms"), (5400, "1h30m"), (90_061.001, "1d1h1m1s1ms")]
)
def test_a_duration_is_written(seconds: float, text: str) -> None:
    """Seconds become the parts that are not zero."""
    assert format_duration(seconds) == text


@given(milliseconds=st.integers(0, 100 * 365 * 86_400_000))
def test_what_is_written_is_read_back(milliseconds: int) -> None:
    """Every duration in milliseconds survives being written and read."""
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000
