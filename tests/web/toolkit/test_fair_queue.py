"""Who is let in next."""

import asyncio

import pytest

from exporter.web.toolkit.fair_queue import MOST_SUSPECTS, MOST_WAITING, FairQueue, QueueFullError, client_of


class Line:
    """A queue that is taken until `finish`, the requests that wait in it, and the order in which they are let in."""

    def __init__(self) -> None:
        self.queue = FairQueue()
        self.served: list[str] = []
        self.refused: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def wait(self, *names: str, failed: bool | None) -> list[asyncio.Task[None]]:
        """Let requests `ADDRESS/…` wait that fail or not once they are in."""
        if not self._tasks:
            await self.queue.enter("first")
        tasks = [asyncio.create_task(self._request(name, failed=failed)) for name in names]
        self._tasks += tasks
        await asyncio.sleep(0)
        return tasks

    async def finish(self) -> list[str]:
        """Let all in; return the order."""
        self.queue.leave("first", failed=None)
        async with asyncio.timeout(5):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        served, self.served = self.served, []
        return served

    async def _request(self, name: str, *, failed: bool | None) -> None:
        address = name.partition("/")[0]
        try:
            await self.queue.enter(address)
        except QueueFullError:
            self.refused.append(name)
            return
        self.served.append(name)
        self.queue.leave(address, failed=failed)


@pytest.fixture
async def line() -> Line:
    """An empty line, in which `guesser-0` to `guesser-99` are suspects."""
    line = Line()
    await line.wait(*(f"guesser-{number}" for number in range(100)), failed=True)
    assert len(await line.finish()) == 100
    return line


async def test_suspects_take_turns(line: Line) -> None:
    """Nobody gains by sending more requests."""
    await line.wait("guesser-0/1", "guesser-0/2", "guesser-0/3", "guesser-1/1", "guesser-1/2", failed=None)
    assert [name.partition("/")[0] for name in await line.finish()] == [
        "guesser-0",
        "guesser-1",
        "guesser-0",
        "guesser-1",
        "guesser-0",
    ]


async def test_a_new_address_waits_for_few(line: Line) -> None:
    """Neither the number of suspects counts, nor that of addresses that came before."""
    await line.wait(*(f"guesser-{number}/{again}" for number in range(100) for again in range(9)), failed=True)
    await line.wait(*(f"new-{number}" for number in range(100)), failed=True)
    await line.wait("prometheus", failed=False)
    assert (await line.finish()).index("prometheus") <= 1


async def test_a_new_request_of_a_suspect_waits_for_few_and_an_old_one_not_without_end(line: Line) -> None:
    """The newest and the oldest of one address are let in by turns."""
    await line.wait(*(f"guesser-0/{number}" for number in range(6)), failed=True)
    served = await line.finish()
    assert sorted(served[:2]) == ["guesser-0/0", "guesser-0/5"]
    assert sorted(served[2:4]) == ["guesser-0/1", "guesser-0/4"]


async def test_who_becomes_a_suspect_waits_as_one(line: Line) -> None:
    """What an address has waiting counts by what is known of it then."""
    await line.wait("b", failed=False)
    await line.wait("a/1", "a/2", "a/3", failed=True)
    assert (await line.finish()).index("b") <= 2


async def test_one_address_has_only_so_many_waiting(line: Line) -> None:
    """Those beyond are refused at once, and nobody else is."""
    await line.wait(*(f"a/{number}" for number in range(MOST_WAITING + 2)), "b", failed=True)
    assert len(await line.finish()) == MOST_WAITING + 1
    assert line.refused == [f"a/{MOST_WAITING}", f"a/{MOST_WAITING + 1}"]


@pytest.mark.parametrize("when", ["while it waits", "when it was just let in"])
async def test_who_gives_up_hands_its_turn_on(line: Line, when: str) -> None:
    """A request that is cancelled holds up nobody and leaves nothing behind."""
    await line.wait("b", failed=True)
    (given_up,) = await line.wait("a", failed=True)
    if when == "when it was just let in":
        line.queue.leave("first", failed=None)
        given_up.cancel()
        await asyncio.sleep(0.01)
        assert line.served == ["b"]
    else:
        given_up.cancel()
        await asyncio.sleep(0)
        assert await line.finish() == ["b"]
    await asyncio.wait_for(line.queue.enter("c"), 1)
    assert not line.queue._others
    assert not line.queue._suspected


async def test_suspects_are_forgotten_in_the_end() -> None:
    """What is remembered of addresses has a bound."""
    queue = FairQueue()
    for number in range(MOST_SUSPECTS + 10):
        await queue.enter(str(number))
        queue.leave(str(number), failed=True)
    assert len(queue._suspects) == MOST_SUSPECTS


@pytest.mark.parametrize(
    ("remote", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:0db8:0000:0000"),
        ("2001:db8::ffff:1:2", "2001:0db8:0000:0000"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
        ("/run/socket", "/run/socket"),
        (None, ""),
    ],
)
def test_a_client_is_an_address_or_a_network_of_its_own(remote: str | None, client: str) -> None:
    """Nobody is many clients by choosing addresses of an IPv6 network."""
    assert client_of(remote) == client
