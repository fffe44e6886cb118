"""Listens, serves, and ends without cutting answers off."""

import asyncio
import logging
from collections.abc import Sequence

from aiohttp import web

from exporter.web.listen import bind, parse_listen_address, shown

_KEEP_ALIVE_SECONDS = 75.0
_LINGERING_SECONDS = 2.0
_LONGEST_LINE_BYTES = 8190
_LEAST_SECONDS = 0.01


class Running:
    """A server that accepts requests until it is closed."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, as `host:port` with the real port; `[::]` and `0.0.0.0` are all addresses."""
        return tuple(shown(host, port) for host, port, *_ in self._runner.addresses)

    async def close(self, drain_seconds: float) -> None:
        """Accept nothing more, give answers under way up to `drain_seconds` to finish, then cut them off."""
        for site in self._runner.sites:
            await site.stop()
        if self._runner.server is not None:
            await asyncio.sleep(0)  # a request that was just accepted gets its handler
            self._runner.server.pre_shutdown()
            # aiohttp waits twice, before and after it tells a handler to stop, and takes 0 for no limit.
            await self._runner.server.shutdown(max(drain_seconds / 2, _LEAST_SECONDS))
        await self._runner.cleanup()


async def start(app: web.Application, listen_addresses: Sequence[str]) -> Running:
    """Serve `app` on every one of `listen_addresses`, or on none.

    Raises:
        ListenError: An address is misspelt, taken or not of this machine.
    """
    addresses = [parse_listen_address(text) for text in listen_addresses]
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_deaf_logger(),
        shutdown_timeout=_LEAST_SECONDS,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        lingering_time=_LINGERING_SECONDS,
        max_line_size=_LONGEST_LINE_BYTES,
        max_field_size=_LONGEST_LINE_BYTES,
    )
    await runner.setup()
    try:
        for address in addresses:
            await web.SockSite(runner, await bind(address)).start()
    except BaseException:
        await runner.cleanup()
        raise
    return Running(runner)


def _deaf_logger() -> logging.Logger:
    """Return a logger for aiohttp that drops all: what it says is about clients that speak no HTTP.

    Faults of our own handlers are logged by the application.
    """
    logger = logging.Logger("exporter.web.protocol")  # noqa: LOG001 - of its own, so that nothing global changes
    logger.addHandler(logging.NullHandler())
    return logger
