"""The service on a socket: the signed operation on `/`, and the control of it under `/-/`."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final

from aiohttp import web
from yarl import URL

from exporter.simulator.control import control_routes
from exporter.simulator.message import Request, Response
from exporter.simulator.service import Service

LONGEST_HANG_SECONDS: Final = 120.0
_TICK_SECONDS: Final = 0.2


class RunningServer:
    """A server that listens; `url` is where."""

    def __init__(self, url: str, runner: web.AppRunner, ticker: asyncio.Task[None]) -> None:
        self.url = url
        self._runner = runner
        self._ticker = ticker

    async def close(self) -> None:
        """Stop listening, end what is going on, and return when that is done."""
        self._ticker.cancel()
        with suppress(asyncio.CancelledError):
            await self._ticker
        await self._runner.cleanup()


async def start(
    service: Service,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    longest_hang_seconds: float = LONGEST_HANG_SECONDS,
) -> RunningServer:
    """Listen on `host` and `port` (0: any free one) and answer for `service`.

    A request that is to hang is cut off after `longest_hang_seconds`.

    Raises:
        OSError: The address can't be listened on.
    """
    application = web.Application(client_max_size=2**24)

    async def operation(request: web.Request) -> web.StreamResponse:
        """Answer the signed operation."""
        await asyncio.sleep(service.inbound_delay_seconds())
        response = service.handle(await _read(request))
        return await _deliver(request, response, longest_hang_seconds)

    application.add_routes([web.post("/", operation), web.get("/", operation, allow_head=False)])
    application.add_routes(control_routes(service))
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    bound_port = runner.addresses[0][1]
    ticker = asyncio.create_task(_tick(service), name="simulator-churn")
    return RunningServer(str(URL.build(scheme="http", host=host, port=bound_port)), runner, ticker)


async def _tick(service: Service) -> None:
    """Let things happen though nobody asks, so that a request never has to catch up for long."""
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        service.advance()


async def _read(request: web.Request) -> Request:
    """Return the request as the pure core wants it."""
    return Request(
        query=request.rel_url.raw_query_string,
        headers={name.lower(): value for name, value in request.headers.items()},
        method=request.method,
        path=request.rel_url.raw_path,
        body=await request.read(),
    )


async def _deliver(request: web.Request, response: Response, longest_hang_seconds: float) -> web.StreamResponse:
    """Bring the answer to the client, or fail as the response says."""
    await asyncio.sleep(response.delay_seconds)
    transport = request.transport
    if response.delivery == "hang":
        await asyncio.sleep(longest_hang_seconds)
    if response.delivery != "answer" and transport is not None:
        _reset(transport)
    return web.Response(status=response.status, headers=dict(response.headers), body=response.body)


def _reset(transport: asyncio.Transport) -> None:
    """Cut the connection so that the client sees a reset, not an end."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
