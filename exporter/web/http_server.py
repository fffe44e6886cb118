"""HTTP server: listens on `--web.listen-address`, and shuts down without cutting responses off."""

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import web

from exporter.web.connections import DEFAULT_LIMITS, Connections, Limits
from exporter.web.webconfig.gate import Gate


class ListenError(Exception):
    """An address can't be listened on; `str()` is one line that says which, why and what to do."""

    def __init__(self, line: str, *, is_absent: bool = False) -> None:
        super().__init__(line)
        self.is_absent = is_absent  # whether no interface has the address, or no name server knows it: one may, later


class ListenAddress(NamedTuple):
    """Where to listen."""

    host: str  # empty: all addresses, also IPv6 if available
    port: int  # 0: any free port


def parse_listen_address(text: str) -> ListenAddress:
    """Parse `:10678`, `localhost:10678`, `192.0.2.1:10678` or `[::1]:10678`; raises ListenError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    well_formed = colon and port.isascii() and port.isdigit() and int(port) <= 65535
    if not well_formed or (":" in host) != bracketed or not host.isprintable() or " " in host:
        raise ListenError(f"listen address {text!r}: expected :PORT, HOST:PORT or [IPV6]:PORT, for example :10678")
    return ListenAddress(host, int(port))


async def bind(address: ListenAddress) -> socket.socket:
    """Return a listening socket; of several addresses of a host, one is used, IPv4 first. Raises ListenError."""
    try:
        if not address.host:
            return _bind_everywhere(address.port)
        found = await asyncio.get_running_loop().getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, resolved = min(found, key=lambda one: one[0] != socket.AF_INET)
        return socket.create_server(resolved[:2], family=family)
    except (OSError, UnicodeError) as error:
        is_absent = isinstance(error, socket.gaierror) or (
            isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL
        )
        remedy = "start again when this machine has the address" if is_absent else "stop what uses it"
        raise ListenError(
            f"can't listen on {shown(address.host, address.port)}: {_reason(error)}; "
            f"{remedy} or choose another --web.listen-address",
            is_absent=is_absent,
        ) from error


def shown(host: str, port: int) -> str:
    """Format an address as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError | UnicodeError) -> str:
    """Return the system's message without the address that Python adds."""
    if isinstance(error, UnicodeError):
        return "this is no host name"
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _bind_everywhere(port: int) -> socket.socket:
    """Bind one socket for IPv4 and IPv6, so that port 0 is one port."""
    if socket.has_dualstack_ipv6() and _has_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


_LEAST_SECONDS = 0.01


class Running:
    """A server until it is closed."""

    def __init__(self, runner: web.AppRunner, scheme: str) -> None:
        self._runner = runner
        self.scheme = scheme  # what its URLs begin with: `http` or `https`

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens: `host:port` with the actual port, or a path; `[::]` and `0.0.0.0` are all addresses."""
        return tuple(
            str(address) if isinstance(address, str | bytes) else shown(*address[:2])
            for address in self._runner.addresses
        )

    async def close(self, drain_seconds: float) -> None:
        """Stop accepting, let responses finish within `drain_seconds`, then cut them off."""
        for site in self._runner.sites:
            await site.stop()
        if self._runner.server is not None:
            await asyncio.sleep(0)  # a request that was just accepted gets its handler
            self._runner.server.pre_shutdown()
            # aiohttp waits twice, before and after it stops a handler, and takes 0 for no limit.
            await self._runner.server.shutdown(max(drain_seconds / 2, _LEAST_SECONDS))
        await self._runner.cleanup()


async def start(
    app: web.Application,
    listen_addresses: Sequence[str],
    *,
    sockets: Sequence[socket.socket] = (),
    gate: Gate | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Running:
    """Serve an application on addresses, or on `sockets` instead, as systemd passes them; plain HTTP without `gate`.

    Raises ListenError: an address is malformed, in use or on another machine.
    """
    if gate is not None:
        gate.guard(app)
    tls = None if gate is None else gate.tls
    connections = Connections(limits, asyncio.get_running_loop().time)
    app.middlewares.insert(0, connections.middleware)
    addresses = [] if sockets else [parse_listen_address(text) for text in listen_addresses]
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_deaf_logger(),
        shutdown_timeout=_LEAST_SECONDS,
        keepalive_timeout=limits.longest_idle_seconds,
        lingering_time=limits.longest_farewell_seconds,
        max_line_size=limits.longest_line_bytes,
        max_field_size=limits.longest_line_bytes,
        max_headers=limits.most_headers,
    )
    await runner.setup()
    try:
        for listening in sockets:
            await _Site(runner, listening, tls, connections).start()
        for address in addresses:
            await _Site(runner, await bind(address), tls, connections).start()
    except BaseException:
        await runner.cleanup()
        raise
    return Running(runner, "http" if tls is None else "https")


class _Site(web.SockSite):
    """An aiohttp site whose connections are bounded, also during TLS handshakes."""

    def __init__(
        self, runner: web.AppRunner, listening: socket.socket, tls: ssl.SSLContext | None, connections: Connections
    ) -> None:
        super().__init__(runner, listening, ssl_context=tls)
        self._tls = tls
        self._connections = connections

    async def start(self) -> None:
        await web.BaseSite.start(self)
        protocols = self._runner.server
        assert protocols is not None  # noqa: S101 - the runner was set up
        limits = self._connections.limits
        self._server = await asyncio.get_running_loop().create_server(
            self._connections.bounded(protocols),
            sock=self._sock,
            ssl=self._tls,
            ssl_handshake_timeout=None if self._tls is None else limits.longest_handshake_seconds,
            ssl_shutdown_timeout=None if self._tls is None else limits.longest_farewell_seconds,
        )


def _deaf_logger() -> logging.Logger:
    """Return a logger that drops aiohttp's complaints about clients that don't speak HTTP."""
    logger = logging.Logger("exporter.web.protocol")  # noqa: LOG001 - of its own, so that nothing global changes
    logger.addHandler(logging.NullHandler())
    return logger
