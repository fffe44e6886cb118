"""What clients can't do to the server: come too many, say too much, take too long."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import NamedTuple, NoReturn

import pytest
import uvloop
from aiohttp import web
from structlog.testing import capture_logs

from exporter.web.http_server import Limits, start
from tests.support.virtual_time import leap

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
LONG = 240.0  # more than a busy machine needs for any of this: only a leap of time makes it pass

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Connection(NamedTuple):
    """A client's end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes = REQUEST) -> bytes:
        """Send a request and return the first line of its answer, and the whole of it is read."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await self.reader.readexactly(length)
        return head

    async def is_closed(self) -> bool:
        """Whether the server ends the connection well before `LONG`; what it sends before is dropped."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(LONG / 4):
                while await self.reader.read(2**16):
                    pass
        return self.reader.at_eof() or self.reader.exception() is not None


async def hello(_request: web.Request) -> web.Response:
    """Answer at once."""
    return web.Response(text="hello\n")


async def large_page(request: web.Request) -> web.Response:
    """Answer with more than the buffers hold: the system would let the one for sending grow."""
    connection: socket.socket = request.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
    return web.Response(body=b"x" * 2**23)


Connect = Callable[[], Awaitable[Connection]]


@asynccontextmanager
async def serving(handler: Handler, limits: Limits) -> AsyncIterator[Connect]:
    """Serve within limits; yields what connects."""
    app = web.Application()
    app.add_routes([web.route("*", "/", handler)])
    running = await start(app, [socket.create_server(("127.0.0.1", 0))], limits=limits)
    host, _, port = running.addresses[0].partition(":")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(running.close, 0.1)

        async def connect() -> Connection:
            reader, writer = await asyncio.open_connection(host, int(port), limit=2**10)
            stack.callback(writer.close)
            return Connection(reader, writer)

        yield connect


async def test_slow_clients_hold_nobody_up_and_are_cut_off() -> None:
    """While 200 clients never finish their request others are answered at once, and soon the 200 are gone."""
    async with serving(hello, Limits(longest_head_seconds=LONG)) as connect:
        slow = [await connect() for _ in range(200)]
        for connection in slow:
            connection.writer.write(HALF)
        assert b" 200 " in await (await connect()).ask()
        assert not slow[0].reader.at_eof(), "they were not there any more when the other one came"
        leap(LONG)
        assert all(await asyncio.gather(*(connection.is_closed() for connection in slow)))


async def test_a_client_that_drips_gains_no_time() -> None:
    """Bytes that come now and then do not put the deadline of a request off; one that says nothing ends as soon."""
    async with serving(hello, Limits(longest_head_seconds=LONG, longest_idle_seconds=3 * LONG)) as connect:
        connection, silent = await connect(), await connect()
        for drip in (b"G", b"E", b"T"):
            assert not connection.reader.at_eof()
            connection.writer.write(drip)
            await (await connect()).ask()  # before that the server reads what came earlier
            leap(LONG / 3)
        assert await connection.is_closed()
        assert await silent.is_closed()


def test_a_request_that_came_in_time_is_answered_after_a_halt() -> None:
    """An event loop that stood still for longer than a client may take, and then is slow, reads first what waits."""

    def step_slowly() -> None:
        time.sleep(0.003)
        asyncio.get_running_loop().call_soon(step_slowly)

    async def ask() -> bytes:
        async with serving(hello, Limits(longest_head_seconds=0.5)) as connect:
            client = await connect()
            for _ in range(10):  # steps, in which the server accepts the connection
                await asyncio.sleep(0)
            client.writer.write(REQUEST)
            time.sleep(0.6)  # noqa: ASYNC251 - it is the halt
            step_slowly()
            return await client.ask(b"")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask()).startswith(b"HTTP/1.1 200 ")


async def test_a_connection_is_kept_for_the_next_request() -> None:
    """Between requests a client may be silent for longer than it may take for one, but not forever."""
    limits = Limits(longest_head_seconds=LONG, longest_idle_seconds=3 * LONG)
    async with serving(hello, limits) as connect:
        connection = await connect()
        for _ in range(2):
            assert b" 200 " in await connection.ask()
            leap(2 * LONG)
        leap(LONG)
        assert await connection.is_closed()


async def test_the_second_request_has_a_deadline_too() -> None:
    """Once its first byte is there, a further request has to come to an end as the first."""
    async with serving(hello, Limits(longest_head_seconds=LONG, longest_idle_seconds=3 * LONG)) as connect:
        connection = await connect()
        await connection.ask()
        connection.writer.write(HALF)
        await (await connect()).ask()  # before that the server reads what came earlier
        leap(LONG)
        assert await connection.is_closed()


async def test_who_does_not_read_a_page_is_cut_off() -> None:
    """An answer that nobody fetches is held for as long as an idle connection, though it was never sent whole."""
    async with serving(large_page, Limits(longest_idle_seconds=LONG)) as connect:
        connection = await connect()
        connection.writer.write(REQUEST)
        assert await connection.reader.readexactly(1)
        leap(LONG)
        assert await connection.is_closed()


async def test_an_answer_that_takes_too_long_is_cut_off() -> None:
    """Whatever an answer waits for, its client is not kept for longer than the limit."""
    begun = asyncio.Event()

    async def endless(_request: web.Request) -> NoReturn:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(endless, Limits(longest_head_seconds=3 * LONG, longest_answer_seconds=LONG)) as connect:
        connection = await connect()
        connection.writer.write(REQUEST)
        await begun.wait()
        leap(LONG)
        assert await connection.is_closed()


async def test_the_longest_silent_connection_makes_room() -> None:
    """At the limit a new client is served; who has been without a request for longest is closed, and it is logged."""
    async with serving(hello, Limits(most_connections=3)) as connect:
        first, second, third = [await connect() for _ in range(3)]
        for connection in (first, second, third):
            await connection.ask()
        await first.ask()
        with capture_logs() as logged:
            fourth, fifth = await connect(), await connect()
            for connection in (fourth, fifth):
                assert b" 200 " in await connection.ask()
        assert await second.is_closed()
        assert await third.is_closed()
        assert b" 200 " in await first.ask()
        assert [line["limit"] for line in logged] == [3]


async def test_beyond_the_limit_the_answer_is_503_at_once() -> None:
    """Where all connections are being answered, none is cut off: the next client is told to come again."""
    release, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(_request: web.Request) -> web.Response:
        begun.release()
        await release.wait()
        return web.Response(text="whole")

    async with serving(slow, Limits(most_connections=2)) as connect:
        busy = [asyncio.create_task((await connect()).ask()) for _ in range(2)]
        for _ in busy:
            await begun.acquire()
        refused = await connect()
        head = await refused.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1\r\n" in head
        assert await refused.is_closed()
        release.set()
        assert all(b" 200 " in head for head in await asyncio.gather(*busy))
        assert b" 200 " in await (await connect()).ask()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (HALF[:-8] + b"".join(b"X-%d: %s\r\n" % (number, b"y" * 5000) for number in range(20)), b"413"),
        (HALF[:-8] + b"".join(b"X-%d: y\r\n" % number for number in range(70)) + b"\r\n", b"400"),
        (HALF + b"y" * 9000 + b"\r\n\r\n", b"400"),
        (b"GET /?" + b"y" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
    ],
    ids=["headers together", "number of headers", "one header", "URL", "noise"],
)
async def test_what_is_too_large_or_no_request_is_refused(
    request_bytes: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is answered with an error, and that is its end; it fills no log, and others are served on."""
    async with serving(hello, Limits()) as connect:
        connection = await connect()
        connection.writer.write(request_bytes)
        assert (await connection.reader.readline()).split()[1] == status
        assert await connection.is_closed()
        assert b" 200 " in await (await connect()).ask()
        assert not caplog.records


async def test_a_large_body_ends_the_connection() -> None:
    """A body without end is neither kept nor waited for."""
    limits = Limits(longest_farewell_seconds=LONG)
    async with serving(hello, limits) as connect:
        connection = await connect()
        connection.writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        assert (await connection.reader.readline()).split()[1] == b"200"

        async def pour() -> None:
            with suppress(ConnectionError):
                while True:
                    connection.writer.write(b"x" * 10_000)
                    await connection.writer.drain()
                    await asyncio.sleep(0.01)

        pouring = asyncio.create_task(pour())
        await (await connect()).ask()
        leap(LONG)
        assert await connection.is_closed()
        pouring.cancel()
