"""Times and numbers in words, links, and templates."""

import subprocess
import sys
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.pages.rendering import (
    CHART_POINTS,
    FILTERS,
    Renderer,
    age,
    app_path,
    chart_lines,
    counted,
    safe_link,
    spoken_duration,
    wait,
    with_query,
)
from tests.support.virtual_time import SetClock
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


@pytest.mark.parametrize(
    ("seconds", "ago", "ahead"),
    [(-5, "now", "now"), (0.9, "now", "now"), (1.2, "1 s ago", "in 1 s"), (90, "1 min 30 s ago", "in 1 min 30 s")],
)
def test_ages_and_waits_are_counted_from_now(seconds: float, ago: str, ahead: str) -> None:
    """What is not a second away, or by a clock that was set back on the other side of now, is now."""
    assert (age(NOW - seconds, NOW), wait(NOW + seconds, NOW)) == (ago, ahead)


def test_numbers_have_their_thousands_apart() -> None:
    """Large numbers can be read, rates end where they say nothing more, and nouns fit their number."""
    assert list(map(FILTERS["rate"], (40.0, 3.14159, 1234.5))) == ["40", "3.14", "1,234.5"]
    assert [counted(count, "task") for count in (1, 0, 2000)] == ["1 task", "0 tasks", "2,000 tasks"]
    shown = [FILTERS[name](value) for name, value in (("number", 10**6), ("spaced", "a_b"), ("timestamp", NOW))]
    assert shown == ["1,000,000", "a b", "2027-01-15T08:00:00Z"]


NAMES = st.text(st.characters(codec="utf-8"), min_size=1)


@given(st.text(), NAMES, NAMES)
def test_names_come_back_from_a_path(account: str, app_id: str, task_id: str) -> None:
    """Whatever is in names, the path has as many parts as it should, and each can be read back.

    Nothing in a name, half a surrogate pair included, ends an attribute or begins another part of the address.
    """
    path = app_path("", account, app_id, "tasks", task_id)
    assert path.isascii()
    assert not set(path) & set("\"'<>?#& \n")
    shown = account.encode("utf-8", "replace").decode()
    assert [unquote(part) for part in path.split("/")] == ["", "apps", shown, app_id, "tasks", task_id]


@given(st.dictionaries(NAMES, NAMES))
def test_parameters_come_back_from_a_query(parameters: dict[str, str]) -> None:
    """All that is not empty is asked for as it is, and nothing else."""
    assert with_query("/rules", dict.fromkeys(parameters, "")) == "/rules"
    assert dict(parse_qsl(urlsplit(with_query("/violations", parameters)).query)) == parameters


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://x.example", True),
        ("HTTP://x", True),
        ("javascript:alert(1)", False),
        (" https://x", False),
        ("", False),
    ],
)
def test_only_web_addresses_are_linked_to(url: str, *, is_safe: bool) -> None:
    """An address that would run something, or that is none, is not followed."""
    assert safe_link(url) == (url if is_safe else None)


def test_control_characters_are_written_out() -> None:
    """What a terminal would act upon, and HTML has no place for, is shown as Python writes it; line ends stay."""
    shown = "a\x1b[31m\x00\x9b\r\n<b>"
    page = Renderer(SetClock(), "", "/metrics").html("error", title=shown, message=shown, link="/", link_text=shown)
    assert r"a\x1b[31m\x00\x9b\x0d" in page
    assert "\n&lt;b&gt;" in page


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ((), ()),
        ((5,), ()),
        ((None, None, 7), ()),
        ((5, 5), ["0,12 120,12"]),
        ((0, 10, 5), ["0,22 60,2 120,12"]),
        ((0, 10, None, 0, 10), ["0,22 30,2", "90,22 120,2"]),
    ],
)
def test_a_chart_has_gaps_where_nothing_is_known(values: tuple[int | None, ...], lines: list[str]) -> None:
    """A line for each stretch between the least and the greatest value; nothing with fewer than two values."""
    assert list(chart_lines(values)) == list(lines)


def test_a_long_chart_is_thinned_out() -> None:
    """It has the latest value, and not more points than can be seen."""
    (line,) = chart_lines(range(360))
    assert len(line.split()) == CHART_POINTS
    assert line.endswith("120,2")


@pytest.mark.processes
def test_templates_are_loaded_with_the_first_page() -> None:
    """A daemon whose pages nobody looks at does without the template library."""
    program = """
import sys
import exporter.service.daemon, exporter.web.application
from exporter.core.clock import SystemClock
from exporter.web.pages.rendering import Renderer
renderer = Renderer(SystemClock(), "", "/metrics")
print("jinja2" in sys.modules)
renderer.html("error", title="a", message="b", link="/", link_text="c")
print("jinja2" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split() == ["False", "True"]
