"""What times, durations and numbers are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.pages.words import age, counted, number, rate, spaced, spoken_duration, timestamp, wait
from tests.web.fake_view import NOW


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 ms"),
        (-3, "0 ms"),
        (0.25, "250 ms"),
        (1, "1 s"),
        (12.34, "12.3 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_have_two_units(seconds: float, words: str) -> None:
    """The two largest units say enough, and a unit of nothing is left out."""
    assert spoken_duration(seconds) == words


@given(st.floats(min_value=0, max_value=1e9))
def test_every_duration_has_words(seconds: float) -> None:
    """Whatever its length, a duration is a few words without a number of more than four digits for its parts."""
    assert 3 <= len(spoken_duration(seconds)) <= 13


@pytest.mark.parametrize(("ago", "words"), [(-5, "now"), (0.9, "now"), (1, "1 s ago"), (90, "1 min 30 s ago")])
def test_ages_are_counted_back_from_now(ago: float, words: str) -> None:
    """What is not a second ago, or by a clock that was set back in the future, is now."""
    assert age(NOW - ago, NOW) == words


@pytest.mark.parametrize(("ahead", "words"), [(-5, "now"), (0.9, "now"), (1.2, "in 1 s"), (90, "in 1 min 30 s")])
def test_waits_are_counted_on_from_now(ahead: float, words: str) -> None:
    """What was due is due now."""
    assert wait(NOW + ahead, NOW) == words


def test_moments_are_utc() -> None:
    """A moment is written so that machines can read it."""
    assert timestamp(NOW) == "2027-01-15T08:00:00Z"


def test_numbers_have_their_thousands_apart() -> None:
    """Large numbers can be read, rates end where they say nothing more, and nouns fit their number."""
    assert (number(1_234_567), rate(40.0), rate(3.14159), rate(1234.5)) == ("1,234,567", "40", "3.14", "1,234.5")
    assert (counted(1, "task"), counted(0, "task"), counted(2000, "task")) == ("1 task", "0 tasks", "2,000 tasks")
    assert spaced("limit_exceeded") == "limit exceeded"
