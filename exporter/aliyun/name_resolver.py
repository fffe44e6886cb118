"""Looks up the addresses of hosts in threads of one session alone: a name server without an answer delays no other."""

import asyncio
import socket
from typing import Any, Final, cast

import aiohttp

from exporter.threads import Worker

THREADS: Final = 2
"""For the endpoint and a proxy."""


class NameResolver(aiohttp.ThreadedResolver):
    """aiohttp's own resolver in other threads: the event loop has few, and lets slow look-ups use half of them."""

    def __init__(self) -> None:
        super().__init__(cast("asyncio.AbstractEventLoop", _Lookups()))


class _Lookups:
    """What of an event loop the resolver uses."""

    def __init__(self) -> None:
        self._worker = Worker("look up names", threads=THREADS)

    async def getaddrinfo(self, host: str, port: int, *, type: int, family: int, flags: int) -> list[Any]:  # noqa: A002
        """Do as the event loop's."""
        return await self._worker.run(socket.getaddrinfo, host, port, family, type, 0, flags)

    async def getnameinfo(self, address: tuple[Any, ...], flags: int) -> tuple[str, str]:
        """Do as the event loop's."""
        return await self._worker.run(socket.getnameinfo, address, flags)
