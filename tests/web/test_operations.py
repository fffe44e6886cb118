"""Scrapes that come together, and `/-/reload`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from exporter.web.application import application
from exporter.web.connections import Limits
from exporter.web.operations import Scrapes
from tests.web.fake_view import FakeView, FixedClock

LIMITS = Limits(most_scrapes=2, slow_scrape_seconds=2.0)


class Time:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Readers:
    """Scrapes that last until they are released."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.begun = asyncio.Semaphore(0)
        self.port = 0

    async def scrape(self, path: str = "/metrics") -> bytes:
        """Return the answer; nothing where the scrape was cut off."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
        try:
            return await reader.read()
        finally:
            writer.close()

    async def begin(self, path: str = "/metrics") -> asyncio.Task[bytes]:
        """Begin a scrape and return when the server works on it."""
        task = asyncio.create_task(self.scrape(path))
        await self.begun.acquire()
        return task


@asynccontextmanager
async def reading(time: Time) -> AsyncIterator[Readers]:
    """Serve two paths of metrics under one limit."""
    readers = Readers()

    async def metrics(_request: web.Request) -> web.Response:
        readers.begun.release()
        await readers.release.wait()
        return web.Response(text="up 1\n")

    scrapes = Scrapes(LIMITS, time)
    app = web.Application()
    app.add_routes([web.get(path, scrapes.bounded(metrics)) for path in ("/metrics", "/metrics/tasks")])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    readers.port = runner.addresses[0][1]
    try:
        yield readers
    finally:
        readers.release.set()
        await runner.cleanup()


async def test_one_too_many_is_reported_to_come_again() -> None:
    """Beyond the limit, which all paths share, the answer is 503 with Retry-After; those under way are not touched."""
    async with reading(Time()) as readers:
        under_way = [await readers.begin("/metrics"), await readers.begin("/metrics/tasks")]
        refused = await readers.scrape()
        assert b" 503 " in refused
        assert b"\r\nRetry-After: 1\r\n" in refused
        assert refused.endswith(b"\r\n\r\n2 scrapes are under way\n")
        readers.release.set()
        assert all(b" 200 " in answer for answer in await asyncio.gather(*under_way))
        assert b" 200 " in await readers.scrape()


async def test_the_oldest_gives_way_once_it_is_slow() -> None:
    """At the limit a scrape that takes long is cut off, the oldest one alone, and the new one is answered."""
    time = Time()
    async with reading(time) as readers:
        slow = await readers.begin()
        time.now = 1.0
        quick = await readers.begin()
        time.now = 2.5
        new = await readers.begin()
        assert await slow == b""
        assert b" 503 " in await readers.scrape(), "the next oldest is not slow yet"
        readers.release.set()
        assert all(b" 200 " in answer for answer in await asyncio.gather(quick, new))


@pytest.mark.parametrize(
    ("enabled", "refusal", "status", "text"),
    [
        (True, None, 200, "the configuration is loaded again\n"),
        (True, "a:1:1: one\na:2:1: two", 500, "refused, the one before stays:\na:1:1: one\na:2:1: two\n"),
        (False, None, 403, "start with --web.enable-lifecycle to allow it, or send SIGHUP to the process\n"),
    ],
)
async def test_a_reload_is_answered_when_it_is_done(enabled: bool, refusal: str | None, status: int, text: str) -> None:
    """The answer has every mistake of a refused configuration; without the flag nothing is loaded."""
    view = FakeView()
    view.refusal = refusal
    async with TestClient(TestServer(application(view, FixedClock(), enable_lifecycle=enabled))) as client:
        answer = await client.post("/-/reload")
        assert answer.status == status
        assert (await answer.text()).endswith(text)
        assert (await client.get("/-/reload")).status == 405
    assert view.reloads == enabled
