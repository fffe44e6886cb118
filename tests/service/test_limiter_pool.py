"""Limiters outlive configurations by key and group, and no budget is exceeded while groups change."""

import asyncio
import random
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from exporter.collector.rate_limiter import Limiter, LimiterReplaced, Priority
from exporter.config.model import AccessKey, Account, DefaultChain
from exporter.core.secret import Secret
from exporter.service.accounts import LimiterPool
from tests.support.virtual_time import VirtualClock, on_virtual_time, run

LATENCY_SECONDS = 0.3
PHASE_SECONDS = 4.0


def account(name: str, key: str | None = "k", group: str | None = None, rate: float = 10, **more: Any) -> Account:
    """Return an account entry; without a key it has the default chain."""
    credentials = DefaultChain() if key is None else AccessKey(access_key_id=key, access_key_secret=Secret("s"))
    return Account(name=name, credentials=credentials, limit_group=group, requests_per_second=rate, **more)


class Transition(NamedTuple):
    """One configuration that follows another."""

    before: tuple[Account, ...]
    after: tuple[Account, ...]
    budgets: tuple[str, ...]  # after it: the entries, before and after, whose requests count together, for each budget
    key_ids: Mapping[str, str] = {}  # keys that were fetched meanwhile


TRANSITIONS = {
    "start": Transition((), (account("a"),), ("a",)),
    "nothing changes": Transition((account("a"),), (account("a"),), ("a",)),
    "renamed": Transition((account("a"),), (account("b"),), ("a b",)),
    "renamed by group": Transition((account("a", "k", "g"),), (account("b", "l", "g"),), ("a b",)),
    "another key": Transition((account("a"),), (account("a", "l"),), ("a",)),
    "another entry's key": Transition((account("a"), account("b", "l")), (account("a"), account("b")), ("a b",)),
    "lower rate": Transition((account("a", rate=20),), (account("a"),), ("a",)),
    "merged": Transition((account("a"), account("b", "l")), (account("a", "k", "g"), account("b", "l", "g")), ("a b",)),
    "split": Transition(
        (account("a", "k", "g"), account("b", "l", "g")), (account("a"), account("b", "l")), ("a", "b")
    ),
    "regrouped": Transition(
        (account("a", "k", "g"), account("b", "l", "g"), account("c", "m")),
        (account("a", "k"), account("b", "l", "h"), account("c", "m", "h")),
        ("a", "b c"),
    ),
    "one key found": Transition(
        (account("a"), account("b", None)), (account("a"), account("b", None)), ("a b",), {"b": "k"}
    ),
    "removed, merged": Transition(
        (account("a"), account("b", "l")), (account("c", "k", "g"), account("b", "l", "g")), ("a b c",)
    ),
}


@pytest.mark.parametrize("transition", TRANSITIONS.values(), ids=TRANSITIONS)
def test_no_budget_is_exceeded_in_any_second_around_a_change(transition: Transition) -> None:
    """Whatever is sent after a change finds room in its budget for all that was sent in the second before."""
    sent, changed_at = run(_sent(transition), at_most_seconds=600)
    for entries in transition.budgets:
        times = sorted(time for name, time in sent if name in entries.split())
        after = [time for time in times if time > changed_at]
        assert len(after) >= 2.5 * 10, "the budget is used"
        for time in after:
            assert bisect_right(times, time) - bisect_right(times, time - 1.0) <= 10


async def _sent(transition: Transition) -> tuple[list[tuple[str, float]], float]:
    """Send as much as the limiters allow before and after; return who sent when, and when the change was."""
    clock = VirtualClock()
    sent: list[tuple[str, float]] = []
    pool = LimiterPool(clock)
    limiters: dict[str, Limiter] = {}
    changed_at = 0.0
    rng = random.Random(1)  # noqa: S311 - no secret

    async def send(name: str) -> None:
        while True:
            limiter = limiters[name]
            try:
                async with limiter.permit(Priority.SWEEP):
                    sent.append((name, clock.monotonic()))
                    await clock.sleep(rng.uniform(0, LATENCY_SECONDS))
            except LimiterReplaced as replaced:
                if limiters[name] is limiter:  # an account that is configured no more
                    limiters[name] = replaced.heir

    async with asyncio.TaskGroup() as group:
        workers = []
        for accounts, key_ids in ((transition.before, {}), (transition.after, transition.key_ids)):
            before = set(limiters)
            limiters |= pool.regroup(accounts, key_ids)
            changed_at = clock.monotonic()
            workers += [group.create_task(send(name)) for name in limiters.keys() - before for _ in range(30)]
            await clock.sleep(PHASE_SECONDS)
        for worker in workers:
            worker.cancel()
    return sent, changed_at


@on_virtual_time
async def test_limiters_go_on_where_their_group_does() -> None:
    """By key and by group, under whatever name, and by name; another endpoint has another budget."""
    pool = LimiterPool(VirtualClock())
    first = pool.regroup((account("a"), account("b", "l", "g")), {})
    second = pool.regroup((account("c"), account("d", "m", "g")), {})
    assert (second["c"], second["d"]) == (first["a"], first["b"])
    third = pool.regroup((account("c", "m", endpoint="https://e"), account("d", "n")), {})
    assert third["d"] is second["d"]
    assert third["c"] not in second.values()


@on_virtual_time
async def test_throttling_is_inherited() -> None:
    """A merged group goes on as carefully as the most careful of its members."""
    pool = LimiterPool(VirtualClock())
    pool.regroup((account("a"), account("b", "l")), {})["b"].throttled(None)
    merged = pool.regroup((account("a", "k", "g"), account("b", "l", "g")), {})
    assert merged["a"].effective_requests_per_second == 5
    lowest = pool.regroup((account("c", "n", rate=30), account("d", "n", rate=20)), {})["c"]
    assert lowest.effective_requests_per_second == 20


@on_virtual_time
async def test_a_fetched_key_matters_where_another_group_has_it() -> None:
    """Groups are made again only for a key that an account of another group has."""
    pool = LimiterPool(VirtualClock())
    chain, other = account("chain", None), account("other", None, endpoint="https://e")
    pool.regroup((account("a"), chain, other), {})
    found = [pool.fetched(chain, "STS.1"), pool.fetched(chain, "k"), pool.fetched(other, "k")]
    limiters = pool.regroup((account("a"), chain, other), {"chain": "k", "other": "k"})
    assert limiters["a"] is limiters["chain"] is not limiters["other"]
    assert [*found, pool.fetched(chain, "k")] == [False, True, False, False]


class StoppedClock(VirtualClock):
    """The clock of a process that stood still for a while."""

    stood_seconds = 0.0

    def monotonic(self) -> float:
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
