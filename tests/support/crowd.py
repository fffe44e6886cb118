"""Many clients of one server at once: scrapers that want their answer, and slow ones that only hold on to theirs."""

import asyncio
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from tests.oracle.rule_truth import listed_fleet, true_metrics
from tests.support.http import ask
from tests.support.monitored import sample

SLOW_PATHS = ("/metrics", "/metrics/tasks", "/", "/api/v1/tasks?limit=1000", "/violations")
SLOW_READ_BYTES = 256
DRIP_SECONDS = 0.5
SMALL_BUFFER_BYTES = 4096
"""Of a slow reader's socket, so that the server can't hand its answer to the system as a whole."""
LOOK_SECONDS = 0.1  # at whether it is enough
AGAIN_SECONDS = 0.2  # after what a client that was cut off comes back
TIMEOUT_SECONDS = 20.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Crowd(Struct, frozen=True):
    """Who comes."""

    scrapers: int = 50
    half_open: int = 100  # send a request without end, byte by byte
    slow_readers: int = 100  # ask for metrics, pages or JSON, and read a few bytes now and then
    scrape_interval_seconds: float = 1.0  # of each scraper


class Tally(Struct):
    """What became of them."""

    scrapes: int = 0
    failed: list[str] = []  # first line, or error, of each scrape without a 200
    cut_off: int = 0  # how often a slow client lost its connection
    bytes_dripped: int = 0  # what slow clients sent or read


async def press(
    address: str, crowd: Crowd, seconds: float, *, is_enough: Callable[[Tally], bool] = lambda _: False
) -> Tally:
    """Let a crowd press on the server at `http://host:port` for a time, or until what became of it is enough."""
    tally = Tally()
    clients: list[Awaitable[None]] = [
        _repeat(address, lambda connection: _scrape(connection, crowd.scrape_interval_seconds, tally), _fails(tally))
        for _ in range(crowd.scrapers)
    ]
    clients += [
        _repeat(address, lambda connection: _drip(connection, tally), _is_cut_off(tally))
        for _ in range(crowd.half_open)
    ]
    clients += [
        _repeat(address, _slow_reader(SLOW_PATHS[number % len(SLOW_PATHS)], tally), _is_cut_off(tally))
        for number in range(crowd.slow_readers)
    ]
    limit = asyncio.timeout(seconds)

    async def end_early() -> None:
        while not is_enough(tally):  # noqa: ASYNC110 - many change the tally
            await asyncio.sleep(LOOK_SECONDS)
        limit.reschedule(asyncio.get_running_loop().time())

    with suppress(TimeoutError):
        async with limit:
            await asyncio.gather(*clients, end_early())
    return tally


async def _repeat(
    address: str, use: Callable[[Connection], Awaitable[None]], ended: Callable[[Exception], None]
) -> None:
    """Use one connection after another, each until it fails."""
    while True:
        try:
            async with _connected(address) as connection:
                await use(connection)
        except (OSError, EOFError, TimeoutError) as error:
            ended(error)
        await asyncio.sleep(AGAIN_SECONDS)


@asynccontextmanager
async def _connected(address: str) -> AsyncIterator[Connection]:
    """Connect with a small buffer."""
    parts = urlsplit(address)
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, (parts.hostname, parts.port))
        reader, writer = await asyncio.open_connection(sock=plain, limit=SMALL_BUFFER_BYTES)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def _scrape(connection: Connection, interval_seconds: float, tally: Tally) -> None:
    """Scrape on one connection as Prometheus does, again and again."""
    reader, writer = connection
    while True:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: exporter\r\nAccept-Encoding: gzip\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
        tally.scrapes += 1
        if not head.startswith(b"HTTP/1.1 200 "):
            tally.failed.append(head.partition(b"\r\n")[0].decode())
        await asyncio.sleep(interval_seconds)


async def _drip(connection: Connection, tally: Tally) -> None:
    """Never come to the end of a request."""
    reader, writer = connection
    writer.write(b"GET / HTTP/1.1\r\nHost: exporter\r\nX-Slow: ")
    while not reader.at_eof():
        writer.write(b"x")
        tally.bytes_dripped += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(DRIP_SECONDS):
                await reader.read(1)
    raise EOFError


def _slow_reader(path: str, tally: Tally) -> Callable[[Connection], Awaitable[None]]:
    """Return what asks for a path and takes its time to read."""

    async def read(connection: Connection) -> None:
        reader, writer = connection
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        while piece := await reader.read(SLOW_READ_BYTES):
            tally.bytes_dripped += len(piece)
            await asyncio.sleep(DRIP_SECONDS)
        raise EOFError

    return read


def _fails(tally: Tally) -> Callable[[Exception], None]:
    """Return what notes a scrape that has failed."""
    return lambda error: tally.failed.append(repr(error))


def _is_cut_off(tally: Tally) -> Callable[[Exception], None]:
    """Return what counts a slow client that lost its connection."""

    def count(_error: Exception) -> None:
        tally.cut_off += 1

    return count


ListedTasks: TypeAlias = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]
"""Numbers of tasks by AppId, each with the labels that it is published under."""


class Collection(Struct, frozen=True):
    """The state of the collection of all apps at one moment."""

    updates: int  # that ended well, since the start
    sweeps: int
    failures: int  # updates and sweeps that did not end well
    skipped: Mapping[str, int]  # sweeps that were due and did not start, by the reason; none where none was
    longest_stretch: float  # the worst `interval_stretch_ratio` of all apps; 1 where none is stretched


def collection(url: str) -> Collection:
    """Ask the exporter at `url`."""
    text = ask(f"{url}/metrics").text
    ended = re.findall(r'^rtcmpu_collection_attempts_total\{.*kind="(\w+)",outcome="(\w+)"\} (\S+)', text, re.MULTILINE)
    skipped = re.findall(r'^rtcmpu_exporter_sweeps_skipped_total\{.*reason="(\w+)"\} (\S+)', text, re.MULTILINE)
    stretched = re.findall(r"^rtcmpu_collection_interval_stretch_ratio\{.*\} (\S+)", text, re.MULTILINE)
    return Collection(
        updates=_sum(number for kind, outcome, number in ended if (kind, outcome) == ("update", "ok")),
        sweeps=_sum(number for kind, outcome, number in ended if (kind, outcome) == ("sweep", "ok")),
        failures=_sum(number for _, outcome, number in ended if outcome != "ok"),
        skipped=Counter({reason: int(float(number)) for reason, number in skipped if float(number)}),
        longest_stretch=max(map(float, stretched), default=1.0),
    )


def listed_tasks(service_url: str) -> ListedTasks:
    """Ask the simulated service how many tasks it lists; with many tasks it answers nothing else for some seconds."""
    return {
        app_id: [(counted["labels"], counted["value"]) for counted in metrics["rtcmpu_tasks"]]
        for app_id, metrics in true_metrics(listed_fleet(service_url)).items()
    }


def assert_tasks_are(url: str, listed: ListedTasks) -> None:
    """Compare what the exporter at `url` publishes with what the service lists."""
    text = ask(f"{url}/metrics").text
    for app_id, counted in listed.items():
        for labels, number in counted:
            assert sample(text, "rtcmpu_tasks", app_id=app_id, **labels) == number, app_id


def _sum(numbers: Iterable[str]) -> int:
    """Add numbers as they are in an exposition."""
    return int(sum(map(float, numbers)))
