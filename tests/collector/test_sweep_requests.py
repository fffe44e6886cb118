"""What a sweep costs in requests is what the forecast of a budget says."""

import asyncio

import pytest
from structlog.testing import capture_logs

from exporter.collector.rate_limiter import Limiter
from exporter.collector.status import Intervals
from exporter.config.capacity import sweep_requests_of
from exporter.simulator.churn import Rates
from tests.support.moving_world import Reader, Scene, World
from tests.support.virtual_time import VirtualClock, run

INTERVALS = Intervals(interval_seconds=1000, sweep_interval_seconds=20, stale_after_seconds=2000, stretch_ratio=1)


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
