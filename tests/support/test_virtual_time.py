"""Virtual time itself: what every test on it relies on."""

import asyncio
import itertools

import pytest

from tests.support.virtual_time import Deadlock, VirtualClock, run


def test_waiting_for_what_cannot_happen_is_an_error() -> None:
    """Instead of hanging, the run names the tasks that wait."""

    async def scenario() -> None:
        await asyncio.create_task(asyncio.Event().wait(), name="endless")

    with pytest.raises(Deadlock, match="endless"):
        run(scenario())


def test_a_loop_without_end_is_an_error() -> None:
    """A loop of timers ends when the virtual time that it may take is over."""

    async def scenario() -> None:
        for _ in itertools.count():
            await asyncio.sleep(1)

    with pytest.raises(Deadlock, match="not done after 100 s"):
        run(scenario(), at_most_seconds=100)


@pytest.mark.parametrize(("error_seconds", "woken"), [(0.5, 10.5), (-0.5, 9.5), (-60, 5)])
def test_timers_err_as_they_are_reported(error_seconds: float, woken: float) -> None:
    """They fire late or early, but never before half of the wait."""

    async def scenario() -> float:
        await asyncio.sleep(10)
        return asyncio.get_running_loop().time()

    assert run(scenario(), timer_error=lambda: error_seconds) == woken


def test_the_wall_clock_can_jump() -> None:
    """Only the wall clock; what is measured goes on."""

    async def scenario() -> tuple[float, float]:
        clock = VirtualClock(start=1000)
        await clock.sleep(5)
        clock.set_back(600)
        return clock.now(), clock.monotonic()

    assert run(scenario()) == (405, 5)
