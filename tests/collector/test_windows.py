"""Which part of the list one request asks for, and how many a sweep takes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from exporter.collector.rate_limiter import Limiter
from exporter.collector.reading import Window, window_after
from exporter.collector.status import Intervals
from exporter.config.capacity import sweep_requests_of
from exporter.simulator.fleet import Rates
from tests.support.moving_world import Reader, Scene, World
from tests.support.virtual_time import VirtualClock, run

INTERVALS = Intervals(
    interval_seconds=1000, sweep_interval_seconds=20, stale_after_seconds=2000, interval_stretch_ratio=1
)


@pytest.mark.parametrize("tasks", [0, 99, 100, 240, 1000, 5000])
def test_a_sweep_takes_the_requests_that_are_forecast(tasks: int) -> None:
    """A list at rest is read with as many requests as the forecast assumes, within a hundredth."""

    async def requests() -> list[int]:
        clock = VirtualClock()
        reader = Reader(
            World(Scene(tasks, Rates(), seed=1, small_rows=True), clock), Limiter(50, clock=clock), INTERVALS
        )
        loops = [asyncio.ensure_future(loop) for loop in reader.loops()]
        await clock.sleep(60)
        for loop in loops:
            loop.cancel()
        return [sweep.requests for sweep in reader.sweeps[1:3]]

    with capture_logs():
        assert run(requests()) == pytest.approx([sweep_requests_of(tasks)] * 2, rel=0.01)


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
