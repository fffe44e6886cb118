"""Windows: which part of the list one request asks for."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.reading import Window, window_after


def test_a_window_is_what_page_no_and_page_size_say() -> None:
    """The third page of seven rows begins at row 14 and ends before row 21."""
    window = Window(page_no=3, page_size=7)
    assert (window.start, window.end, window.following().start) == (14, 21, 21)


def test_the_first_window_is_the_largest() -> None:
    """A list is begun with as many rows as one request may bring."""
    assert window_after(0, overlap=4) == Window(1, 100)


@given(st.integers(1, 100_000), st.integers(1, 49))
def test_windows_overlap_and_get_on(reached: int, overlap: int) -> None:
    """Wherever one is, the next window begins at least the overlap before it and ends beyond it."""
    window = window_after(reached, overlap=min(overlap, reached // 2))
    assert window.end > reached
    assert reached - window.start >= min(overlap, reached // 2)
    assert 1 <= window.page_size <= 100


def test_overlaps_cost_about_a_seventh_more_requests() -> None:
    """20,000 rows, 200 pages without overlap, take at most 235 windows with one."""
    reached = windows = 0
    while reached < 20_000:
        reached = window_after(reached, overlap=4).end
        windows += 1
    assert windows <= 235
