"""What the text of one value means, and what is expected instead."""

import datetime as dt

import pytest

from exporter.config import values
from exporter.config.shapes import Shape

CODECS = Shape(kind="choice", choices=("H.264", "H.265"))
RATES = Shape(kind="choice", choices=(44100, 48000), whole=True)
REGIONS = Shape(kind="choice", choices=("CN-Shanghai",), open=True, pattern="^[A-Za-z-]+$", expected="a region")
DATE = Shape(kind="date")
TIMESTAMP = Shape(kind="timestamp")


def test_a_choice_has_the_type_of_what_is_chosen() -> None:
    """A text of a closed set is taken as it is, a number as a number."""
    assert values.parse_choice("H.264", CODECS) == "H.264"
    assert values.parse_choice("48000", RATES) == 48000


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        ("h264", CODECS, "H.264"),
        ("h.265", CODECS, "H.265"),
        ("AV1", CODECS, "H.264 or H.265"),
        ("48001", RATES, "44100 or 48000"),
        ("CN Shanghai", REGIONS, "a region"),
        ("x" * 10_000, CODECS, "H.264 or H.265"),
    ],
)
def test_what_is_no_choice_is_answered_with_the_nearest(text: str, shape: Shape, expected: str) -> None:
    """A text that is nearly one of the set is answered with that, any other with all of them."""
    with pytest.raises(values.Unfit) as caught:
        values.parse_choice(text, shape)
    assert str(caught.value) == expected


def test_an_open_choice_takes_what_is_not_known() -> None:
    """Known names are taken in any case and get their own spelling; others stay as they are."""
    assert values.parse_choice("cn-shanghai", REGIONS) == "CN-Shanghai"
    assert values.parse_choice("EU-Somewhere", REGIONS) == "EU-Somewhere"


@pytest.mark.parametrize("text", ["2027-02-30", "2027-1-1", "20270101", "1969-12-31", "9999-12-31", "2027-01-01T00:00"])
def test_what_is_no_day_is_refused(text: str) -> None:
    """Only days of the calendar are dates, written in one way and within reckoning."""
    assert values.parse_date("2028-02-29", DATE) == dt.date(2028, 2, 29)
    with pytest.raises(values.Unfit, match="such as 2027-01-31"):
        values.parse_date(text, DATE)


@pytest.mark.parametrize(
    "text", ["2027-01-31", "2027-01-31T12:00", "2027-01-31T12:00:00", "2027-01-31T25:00:00Z", "1969-12-31T23:59:59Z"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Only RFC 3339 with an offset is a time."""
    expected = dt.datetime(2027, 1, 31, 4, 0, 0, 500_000, dt.UTC)
    assert values.parse_timestamp("2027-01-31t12:00:00.5+08:00", TIMESTAMP) == expected
    with pytest.raises(values.Unfit, match="such as 2027-01-31T12:00:00Z"):
        values.parse_timestamp(text, TIMESTAMP)
