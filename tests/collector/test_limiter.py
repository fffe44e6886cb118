"""Who is let in by the limiter, in which order and at what pace, and when a permit is free again."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from exporter.collector.rate_limiter import (
    BURST,
    CREDIT_AFTER_SAMPLES,
    HEADROOM,
    MAX_IN_FLIGHT,
    WINDOW_SECONDS,
    Limiter,
    LimiterReplaced,
    Pace,
    Permits,
    Priority,
    RoundTrips,
)
from tests.support.virtual_time import VirtualClock, on_virtual_time, run


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan])
def test_a_rate_must_be_above_zero(rate: float) -> None:
    """A rate at which nothing would ever be sent is refused, at the start and on a reload."""
    with pytest.raises(ValueError, match="above 0"):
        Limiter(rate, clock=VirtualClock())
    with pytest.raises(ValueError, match="above 0"):
        Limiter(1, clock=VirtualClock()).set_rate(rate)


@on_virtual_time
async def test_who_waits_is_let_in_by_priority_and_then_by_order() -> None:
    """Updates before look-ups before sweeps before those on demand; within one priority first come, first served."""
    clock = VirtualClock()
    limiter = Limiter(1, clock=clock)
    order = []

    async def send(priority: Priority, name: str) -> None:
        async with limiter.permit(priority):
            order.append(name)

    async with asyncio.TaskGroup() as group, limiter.permit(Priority.SWEEP):
        for name, priority in [
            ("on demand", Priority.ON_DEMAND),
            ("sweep 1", Priority.SWEEP),
            ("look-up 1", Priority.LOOKUP),
            ("sweep 2", Priority.SWEEP),
            ("update 1", Priority.UPDATE),
            ("look-up 2", Priority.LOOKUP),
            ("update 2", Priority.UPDATE),
        ]:
            group.create_task(send(priority, name))
        await clock.sleep(6)
    assert order == ["update 1", "update 2", "look-up 1", "look-up 2", "sweep 1", "sweep 2", "on demand"]


@on_virtual_time
async def test_updates_above_the_rate_leave_a_quarter_of_it_to_sweeps_that_wait() -> None:
    """Otherwise no sweep would end on a machine too slow for its updates, and all data would be withdrawn."""
    clock = VirtualClock()
    limiter = Limiter(10, clock=clock)
    sent: list[Priority] = []

    async def keep_sending(priority: Priority) -> None:
        while True:
            async with limiter.permit(priority):
                sent.append(priority)

    senders = [asyncio.create_task(keep_sending(priority)) for priority in [Priority.UPDATE, Priority.SWEEP] * 50]
    await clock.sleep(100)
    for sender in senders:
        sender.cancel()
    assert sent[-400:].count(Priority.SWEEP) == pytest.approx(100, abs=2)


@on_virtual_time
async def test_it_tells_how_many_wait_and_how_long_they_waited() -> None:
    """A scheduler sees the queue of each priority; a turn says what it cost."""
    clock = VirtualClock()
    limiter = Limiter(1, clock=clock)

    async def send(priority: Priority) -> float:
        async with limiter.permit(priority) as wait_seconds:
            return wait_seconds

    async with asyncio.TaskGroup() as group, limiter.permit(Priority.UPDATE) as wait_seconds:
        assert wait_seconds == 0
        update = group.create_task(send(Priority.UPDATE))
        for _ in range(2):
            group.create_task(send(Priority.SWEEP))
        await clock.sleep(2)
        waiting = [limiter.waiting(priority) for priority in Priority]
    assert waiting == [1, 0, 2, 0]
    assert update.result() == pytest.approx(3, abs=0.01)


@on_virtual_time
async def test_a_turn_is_held_until_the_response_and_a_second_longer() -> None:
    """The next request goes a second after the response, not after the sending."""
    clock = VirtualClock()
    limiter = Limiter(1, clock=clock)
    async with limiter.permit(Priority.UPDATE):
        await clock.sleep(7)
    async with limiter.permit(Priority.UPDATE):
        assert 8 <= clock.monotonic() <= 8.01


class Broken(Exception):  # noqa: N818 - it stands for any failure
    """A request broke off."""


@on_virtual_time
async def test_a_turn_ends_with_an_exception_too() -> None:
    """A failure frees the permit as a response does."""
    clock = VirtualClock()
    limiter = Limiter(1, clock=clock)
    for _ in range(3):
        with suppress(Broken):
            async with limiter.permit(Priority.UPDATE):
                raise Broken
    assert 2 <= clock.monotonic() <= 2.01


@on_virtual_time
async def test_a_request_that_is_cancelled_counts_until_then() -> None:
    """It may have arrived up to the moment of cancelling."""
    clock = VirtualClock()
    limiter = Limiter(1, clock=clock)
    with suppress(TimeoutError):
        async with asyncio.timeout(4), limiter.permit(Priority.UPDATE):
            await clock.sleep(100)
    async with limiter.permit(Priority.UPDATE):
        assert 5 <= clock.monotonic() <= 5.01


@on_virtual_time
async def test_requests_that_are_cancelled_while_they_wait_cost_nothing() -> None:
    """Those behind them move up."""
    clock = VirtualClock()
    limiter = Limiter(1, clock=clock)
    async with asyncio.TaskGroup() as group, limiter.permit(Priority.UPDATE):
        waiting = [group.create_task(moment_of_turn(limiter, clock)) for _ in range(50)]
        last = group.create_task(moment_of_turn(limiter, clock))
        await clock.sleep(0.5)
        for task in waiting:
            task.cancel()
    assert 1.5 <= last.result() <= 1.51


@pytest.mark.parametrize("is_let_in_first", [True, False])
@on_virtual_time
async def test_the_turn_of_one_that_is_cancelled_goes_to_the_next(is_let_in_first: bool) -> None:
    """Whether it was just let in and never sends, or is let in before it has noticed that it is cancelled."""
    clock = VirtualClock()
    limiter = Limiter(1, clock=clock)
    async with limiter.permit(Priority.UPDATE):
        cancelled = asyncio.create_task(moment_of_turn(limiter, clock))
        following = asyncio.create_task(moment_of_turn(limiter, clock))
        await clock.sleep(0.5)
        steps: list[Callable[[], object]] = [lambda: limiter.set_rate(2), cancelled.cancel]
        for step in steps if is_let_in_first else reversed(steps):
            step()
        assert await following == 0.5


@on_virtual_time
async def test_a_turn_that_comes_just_before_the_limiter_is_replaced_is_given_back() -> None:
    """Nothing was sent, so the limiter that takes its place does not count it."""
    clock = VirtualClock()
    limiter, heir = Limiter(1, clock=clock), Limiter(1, clock=clock)
    async with limiter.permit(Priority.UPDATE):
        waiting = asyncio.create_task(moment_of_turn(limiter, clock))
        await clock.sleep(0.5)
        limiter.set_rate(2)
        limiter.hand_over(heir)
        limiter.send_away()
        with pytest.raises(LimiterReplaced):
            await waiting
    assert 1.5 <= await moment_of_turn(heir, clock) <= 1.51


@on_virtual_time
async def test_no_more_than_the_cap_are_in_flight() -> None:
    """A service that hangs does not gather requests without end."""
    clock = VirtualClock()
    limiter = Limiter(50, clock=clock)
    in_flight = most = 0

    async def send() -> None:
        nonlocal in_flight, most
        async with limiter.permit(Priority.SWEEP):
            in_flight += 1
            most = max(most, in_flight)
            await clock.sleep(10)
            in_flight -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(send())
    assert most == MAX_IN_FLIGHT


@on_virtual_time
async def test_a_lowered_rate_remembers_what_was_sent() -> None:
    """Requests of the last second count against the new rate."""
    clock = VirtualClock()
    limiter = Limiter(4, clock=clock)
    for _ in range(3):
        await moment_of_turn(limiter, clock)
    limiter.set_rate(2)
    assert 1 <= await moment_of_turn(limiter, clock) <= 1.01


@on_virtual_time
async def test_a_raised_rate_lets_in_at_once_who_waits() -> None:
    """Nobody waits for a timer of the old rate."""
    clock = VirtualClock()
    limiter = Limiter(0.01, clock=clock)
    await moment_of_turn(limiter, clock)
    waiting = asyncio.create_task(moment_of_turn(limiter, clock))
    await clock.sleep(2)
    limiter.set_rate(10)
    assert (await waiting, limiter.effective_requests_per_second) == (2, 10)


@on_virtual_time
async def test_a_rate_that_changes_keeps_what_throttling_left_of_it() -> None:
    """Half of the old rate becomes half of the new one."""
    limiter = Limiter(40, clock=VirtualClock())
    limiter.throttled(None)
    limiter.set_rate(20)
    assert limiter.effective_requests_per_second == 10


def test_nothing_is_left_behind_when_the_loop_ends() -> None:
    """Requests that still wait end with their tasks, and a new loop can go on with the limiter."""
    limiter = Limiter(1, clock=VirtualClock())

    async def leave_some_waiting() -> None:
        for _ in range(5):
            asyncio.get_running_loop().create_task(moment_of_turn(limiter, VirtualClock()))
        await asyncio.sleep(0)

    async def go_on() -> float:
        await asyncio.sleep(5)
        return await moment_of_turn(limiter, VirtualClock())

    run(leave_some_waiting())
    assert [limiter.waiting(priority) for priority in Priority] == [0, 0, 0, 0]
    assert run(go_on()) == 5


async def moment_of_turn(limiter: Limiter, clock: VirtualClock) -> float:
    """Wait for a turn and return when it came."""
    async with limiter.permit(Priority.SWEEP):
        return clock.monotonic()


@pytest.mark.parametrize(
    ("samples", "credits_seconds"),
    [
        pytest.param([(100, 0.1)] * (CREDIT_AFTER_SAMPLES - 1), {100: 0}, id="few prove nothing"),
        pytest.param([(100, 0.1)] * CREDIT_AFTER_SAMPLES, {100: 0.09}, id="enough do, but for a tenth"),
        pytest.param([(100, 0.1)] * 1000 + [(101, 0.09)], {101: 0.081}, id="a shorter one counts at once"),
        pytest.param([(100, 0.1), (100, 0.3)] * 100, {100: 0.1 - 0.6 / math.sqrt(200)}, id="scattered ones earn less"),
        pytest.param(
            [(100, 0.01)] * 200 + [(140, 0.1)] * 200, {161: 0.09, 201: 0}, id="neither least nor number lasts a minute"
        ),
    ],
)
def test_what_round_trips_earn(samples: list[tuple[float, float]], credits_seconds: dict[float, float]) -> None:
    """A credit needs enough of them in the last minute, and is less than their least."""
    round_trips = RoundTrips()
    for at, seconds in samples:
        round_trips.add(at, seconds)
    assert {at: round_trips.credit_seconds(at) for at in credits_seconds} == pytest.approx(credits_seconds)


def test_the_credit_is_never_above_the_least_that_is_possible() -> None:
    """In none of a thousand minutes with few samples, where both ways take 10 to 40 ms."""
    way = Random(1)  # noqa: S311 - a simulation
    round_trips = RoundTrips()
    for minute in range(1000):
        for _ in range(CREDIT_AFTER_SAMPLES):
            round_trips.add(61 * minute, 0.02 + 0.03 * way.random() + 0.03 * way.random())
        assert round_trips.credit_seconds(61 * minute) <= 0.02


def test_a_request_without_an_answer_earns_no_credit() -> None:
    """It may have arrived at its very end, so the whole window is kept."""
    permits = Permits()
    for _ in range(CREDIT_AFTER_SAMPLES):
        permits.take()
        permits.end(0, 1, 0.5)
    permits.take()
    permits.end(10, 1, 0.5)
    assert permits.ready_at(1) == pytest.approx(10 + WINDOW_SECONDS - 0.45)
    permits.take()
    permits.end(20, 1, None)
    assert permits.ready_at(1) == 20 + WINDOW_SECONDS


def test_a_permit_that_is_held_is_free_at_no_known_time() -> None:
    """Only the end of a request can tell."""
    permits = Permits()
    permits.take()
    assert permits.ready_at(1) == math.inf
    assert permits.ready_at(2) == -math.inf
    permits.give_back()
    assert permits.ready_at(1) == -math.inf


def sent_until(pace: Pace, end: float, requests_per_second: float) -> list[float]:
    """Send whenever the pace allows it, from 0 on, and return when."""
    sent: list[float] = []
    while (now := max(pace.ready_at(requests_per_second), sent[-1] if sent else 0.0)) < end:
        pace.take(now, requests_per_second)
        sent.append(now)
    return sent


def test_requests_are_sent_at_even_intervals_after_a_small_burst() -> None:
    """The first few go at once, the others a little faster than the rate."""
    sent = sent_until(Pace(), 10, 50)
    assert sent[:BURST] == [0.0] * BURST
    gaps = [after - before for before, after in zip(sent[BURST - 1 :], sent[BURST:], strict=False)]
    assert gaps == pytest.approx([1 / (50 * HEADROOM)] * len(gaps))
    assert len(sent) == pytest.approx(10 * 50 * HEADROOM + BURST, abs=1)


def test_an_idle_time_saves_up_no_more_than_the_burst() -> None:
    """After an hour of silence as few go at once as at the start."""
    pace = Pace()
    for _ in range(BURST):
        pace.take(3600, 50)
    assert pace.ready_at(50) > 3600


def test_a_request_that_was_not_sent_leaves_no_gap() -> None:
    """Giving back is as if it had never been taken."""
    pace, untouched = Pace(), Pace()
    for each in (pace, untouched):
        for _ in range(BURST):
            each.take(1, 50)
    pace.take(1, 50)
    pace.give_back()
    assert pace.ready_at(50) == untouched.ready_at(50)


def test_a_new_rate_holds_at_once() -> None:
    """What was sent at a slow pace does not delay what may go at a fast one."""
    pace = Pace()
    for _ in range(BURST):
        pace.take(0, 0.01)
    assert pace.ready_at(50) == pytest.approx(1 / (50 * HEADROOM))
