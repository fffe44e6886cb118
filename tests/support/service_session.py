"""A simulated service without sockets, as the client sees it: on virtual time it answers at once and always alike."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from exporter.simulator import protocol as message
from exporter.simulator.service import Service


class ServiceSession:
    """What of `aiohttp.ClientSession` the client uses, with the service at once behind it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @asynccontextmanager
    async def post(
        self,
        url: URL,
        *,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - it is aiohttp's
        **_more: object,
    ) -> AsyncIterator["_Response"]:
        """Send a request and yield its answer."""
        async with asyncio.timeout(timeout.total):
            await asyncio.sleep(self._service.inbound_delay_seconds())
            accepted = {"accept-encoding": "gzip"} | {name.lower(): value for name, value in headers.items()}
            response = self._service.handle(message.Request(query=url.raw_query_string, headers=accepted))
            if response.delivery == "hang":
                await asyncio.Event().wait()
            await asyncio.sleep(response.delay_seconds)
            if response.delivery == "reset":
                raise aiohttp.ServerDisconnectedError
        yield _Response(response)

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class _Response:
    """An answer as aiohttp gives it."""

    def __init__(self, response: message.Response) -> None:
        self.status = response.status
        self.headers = CIMultiDict(response.headers)
        is_gzip = self.headers.get("Content-Encoding") == "gzip"
        self._body = zlib.decompress(response.body, wbits=31) if is_gzip else response.body
        self.content = self

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        yield self._body
