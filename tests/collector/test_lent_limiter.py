"""A limiter whose budget is lent until a time."""

import asyncio
from itertools import pairwise

from exporter.collector.rate_limiter import Limiter, Priority
from tests.support.virtual_time import VirtualClock, on_virtual_time


class StoppedClock(VirtualClock):
    """The clock of a process that stood still for a while."""

    stood_seconds = 0.0

    def monotonic(self) -> float:
        """Count on meanwhile."""
        return super().monotonic() + self.stood_seconds


async def send_all(limiter: Limiter, clock: VirtualClock, seconds: float, each: float = 0.0) -> list[float]:
    """Return when requests were sent, by five senders that always have one to send."""
    sent: list[float] = []

    async def send() -> None:
        while True:
            async with limiter.permit(Priority.SWEEP):
                sent.append(clock.monotonic())
                await clock.sleep(each)

    began = clock.monotonic()
    senders = [asyncio.create_task(send()) for _ in range(5)]
    await clock.sleep(seconds)
    for sender in senders:
        sender.cancel()
    await asyncio.gather(*senders, return_exceptions=True)
    return [at - began for at in sent]


@on_virtual_time
async def test_after_the_end_of_a_lease_only_the_fallback_rate_is_left() -> None:
    """At most one request a second is sent after the end, counted with those before; a longer lease brings all back."""
    clock = VirtualClock()
    limiter = Limiter(10, clock=clock)
    limiter.lend(clock.monotonic() + 5, 1.0)
    sent = await send_all(limiter, clock, 10)
    assert 40 <= sum(at < 5 for at in sent) <= 51
    after = [at for at in sent if at >= 5]
    assert 3 <= len(after) <= 5
    assert min(later - before for before, later in pairwise(after)) > 1.0
    assert limiter.effective_requests_per_second == 1.0
    limiter.lend(clock.monotonic() + 100, 1.0)
    assert len(await send_all(limiter, clock, 5)) >= 40


@on_virtual_time
async def test_a_process_that_stood_still_sends_nothing_that_was_let_in_before() -> None:
    """Requests that were let in before the process stopped wait again if the lease has ended meanwhile."""
    clock = StoppedClock()
    limiter = Limiter(10, clock=clock)
    limiter.lend(clock.monotonic(), 0.0)
    sender = asyncio.create_task(send_all(limiter, clock, 20))
    await clock.sleep(3)
    limiter.lend(clock.monotonic() + 5, 0.0)
    clock.stood_seconds = 10  # before the senders that were let in run again
    assert await sender == []


@on_virtual_time
async def test_a_limiter_that_takes_the_place_of_others_ends_with_the_first_of_them() -> None:
    """Accounts that turn out to have one key send nothing beyond the lease that ends first."""
    clock = VirtualClock()
    one, two, heir = (Limiter(10, clock=clock) for _ in range(3))
    one.lend(clock.monotonic() + 3, 1.0)
    two.lend(clock.monotonic() + 9, 1.0)
    for old in (one, two):
        old.hand_over(heir)
        old.send_away()
    await clock.sleep(4)
    assert heir.effective_requests_per_second == 1.0
