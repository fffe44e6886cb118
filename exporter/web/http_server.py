"""HTTP server: listens, gives requests and clients the deadlines that aiohttp has not, and shuts down gracefully."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Self, cast

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Struct

from exporter.config.mistakes import UsageError

if TYPE_CHECKING:
    from exporter.web.webconfig.gate import Gate


class Limits(Struct, frozen=True):
    """Bounds on requests; what exceeds them is cut off or refused."""

    most_connections: int = 512
    """Over all addresses. A new connection replaces the one without a request for longest; it gets 503 if all are being
    answered.
    """
    longest_head_seconds: float = 10.0
    """From the connection, or the first byte of a further request, to the end of its headers."""
    longest_idle_seconds: float = 75.0
    """From the end of a response's making to the next request; the response has to be read in it."""
    longest_answer_seconds: float = 90.0  # for making a response; more than `longest_scrape_seconds`
    longest_scrape_seconds: float = 60.0  # for reading metrics
    most_scrapes: int = 100  # at a time. A new one replaces the oldest if that is slow; otherwise it gets 503
    slow_scrape_seconds: float = 2.0  # after which a scrape is slow; matters only at `most_scrapes`
    longest_line_bytes: int = 8190  # of a URL, and of a header
    most_headers: int = 64
    longest_request_bytes: int = 64 * 1024  # of all headers, and of a body
    longest_handshake_seconds: float = 10.0  # for starting TLS
    longest_farewell_seconds: float = 2.0  # for ending TLS, and for the unread rest of a request's body


DEFAULT_LIMITS: Final = Limits()


_READING_STEPS: Final = 10
"""Steps of the event loop for reading what came in time, and to begin with its request; two would do."""
WARN_SECONDS: Final = 60.0  # between two log lines about refused connections

_REFUSAL: Final = (
    "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n"
    "Cache-Control: no-store\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{sentence}"
)


class Connections:
    """All connections of a server; `monotonic` returns seconds."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float]) -> None:
        self.limits = limits
        self._monotonic = monotonic
        self.by_protocol: dict[asyncio.BaseProtocol, _Connection] = {}
        self.waiting: dict[_Connection, None] = {}
        """Those without a request, the one that has been so for longest first."""
        self._warned_at = -WARN_SECONDS

    def bounded(self, make_protocol: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Wrap a protocol factory so that its connections are within the limits."""
        return lambda: _Connection(make_protocol, self)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note when a request is complete and when its response is made."""
        connection = self.by_protocol.get(request.protocol)
        if connection is None:  # it was cut off a moment ago
            raise ConnectionResetError("the connection is closed")
        self.waiting.pop(connection, None)
        connection.answer_begins()
        try:
            return await handler(request)
        finally:
            if connection.protocol in self.by_protocol:
                self.waiting[connection] = None
                connection.answer_is_made()

    def has_room(self) -> bool:
        """Whether a connection may be added; the one without a request for longest is closed for it."""
        if len(self.by_protocol) < self.limits.most_connections:
            return True
        self._warn()
        longest = next(iter(self.waiting), None)
        if longest is None:
            return False
        longest.cut_off()
        return True

    def _warn(self) -> None:
        now = self._monotonic()
        if now - self._warned_at >= WARN_SECONDS:
            self._warned_at = now
            structlog.get_logger().warning(
                "too many connections: those without a request are closed", limit=self.limits.most_connections
            )


class _Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol until a deadline."""

    def __init__(self, make_protocol: Callable[[], asyncio.Protocol], connections: Connections) -> None:
        self._make_protocol = make_protocol
        self._connections = connections
        self._limits = connections.limits
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.Handle | None = None
        self._is_answering = False
        self._is_idle = False
        self._request_bytes = 0
        self.protocol = asyncio.Protocol()  # aiohttp's, from when the connection is admitted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._connections.has_room():
            self._refuse("503 Service Unavailable", "too many connections, all of them are being answered\n")
            return
        self.protocol = self._make_protocol()
        self._connections.by_protocol[self.protocol] = self
        self._connections.waiting[self] = None
        self._end_within(self._limits.longest_head_seconds)
        self.protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._is_answering:
            self._request_bytes += len(data)
            if self._request_bytes > self._limits.longest_request_bytes:
                self._refuse("413 Content Too Large", f"more than {self._limits.longest_request_bytes} bytes\n")
                return
            if self._is_idle:
                self._is_idle = False
                self._end_within(self._limits.longest_head_seconds)
        self.protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self.protocol.eof_received()

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self.protocol.connection_lost(exc)

    def answer_begins(self) -> None:
        self._is_answering, self._is_idle, self._request_bytes = True, False, 0
        self._end_within(self._limits.longest_answer_seconds)

    def answer_is_made(self) -> None:
        self._is_answering, self._is_idle = False, True
        self._end_within(self._limits.longest_idle_seconds)

    def cut_off(self) -> None:
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, status: str, sentence: str) -> None:
        self._leave()
        if self._transport is not None:
            self._transport.write(_REFUSAL.format(status=status, length=len(sentence), sentence=sentence).encode())
            self._transport.close()
            self._end_within(self._limits.longest_farewell_seconds)

    def _leave(self) -> None:
        self._connections.by_protocol.pop(self.protocol, None)
        self._connections.waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()

    def _end_within(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        # uvloop runs timers before it reads: after a halt, what came in time is read first.
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._end_after, _READING_STEPS)

    def _end_after(self, steps: int) -> None:
        if steps == 0:
            self.cut_off()
        else:
            self._deadline = asyncio.get_running_loop().call_soon(self._end_after, steps - 1)


class ListenError(UsageError):
    """An address can't be listened on; `str()` is one line that says which, why and what to do."""

    def __init__(self, line: str, *, is_absent: bool = False) -> None:
        super().__init__(line)
        self.is_absent = is_absent  # whether no interface has the address, or no name server knows it: one may, later

    @classmethod
    def of(cls, host: str, port: int, error: OSError | UnicodeError, flag: str = "--web.listen-address") -> Self:
        """Return the error for an address that a flag sets."""
        is_absent = isinstance(error, socket.gaierror) or (
            isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL
        )
        remedy = "start again when this machine has the address" if is_absent else "stop what uses it"
        line = f"can't listen on {shown(host, port)}: {_reason(error)}; {remedy} or choose another {flag}"
        return cls(line, is_absent=is_absent)


class ListenAddress(NamedTuple):
    """Where to listen."""

    host: str  # empty: all addresses, also IPv6 if available
    port: int  # 0: any free port


def parse_listen_address(text: str) -> ListenAddress:
    """Parse `:10678`, `localhost:10678`, `192.0.2.1:10678` or `[::1]:10678`; raises ListenError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    well_formed = colon and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
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
        raise ListenError.of(*address, error) from error


def shown(host: str, port: int) -> str:
    """Format an address as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "this is no host name"
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _bind_everywhere(port: int) -> socket.socket:
    """Bind one socket for IPv4 and IPv6, so that port 0 is one port; for IPv4 alone where IPv6 is switched off."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
    return socket.create_server(("", port))


_LEAST_SECONDS = 0.01


class Running:
    """A server until it is closed."""

    def __init__(self, runner: web.AppRunner, servers: Sequence[asyncio.Server], scheme: str) -> None:
        self._runner = runner
        self._servers = servers
        self.scheme = scheme  # what its URLs begin with: `http` or `https`

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens: `host:port` with the actual port, or a path; `[::]` and `0.0.0.0` are all addresses."""
        names = [listening.getsockname() for server in self._servers for listening in server.sockets]
        return tuple(str(name) if isinstance(name, str | bytes) else shown(*name[:2]) for name in names)

    async def close(self, drain_seconds: float) -> None:
        """Stop accepting, let responses finish within `drain_seconds`, then cut them off."""
        for server in self._servers:
            server.close()
        if self._runner.server is not None:
            await asyncio.sleep(0)  # a request that was just accepted gets its handler
            self._runner.server.pre_shutdown()
            # aiohttp waits twice, before and after it stops a handler, and takes 0 for no limit.
            await self._runner.server.shutdown(max(drain_seconds / 2, _LEAST_SECONDS))
        await self._runner.cleanup()


async def start(
    app: web.Application,
    sockets: Sequence[socket.socket],
    *,
    gate: "Gate | None" = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Running:
    """Serve an application on listening sockets, which it closes; plain HTTP without `gate`."""
    if gate is not None:
        gate.guard(app)
    tls = None if gate is None else gate.tls
    loop = asyncio.get_running_loop()
    connections = Connections(limits, loop.time)
    app.middlewares.insert(0, connections.middleware)
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
    assert runner.server is not None  # noqa: S101 - it was just set up
    servers: list[asyncio.Server] = []
    running = Running(runner, servers, "http" if tls is None else "https")
    try:
        for listening in sockets:
            # Not aiohttp's own sites: connections are bounded, also during TLS handshakes.
            server = await loop.create_server(
                connections.bounded(runner.server),
                sock=listening,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else limits.longest_handshake_seconds,
                ssl_shutdown_timeout=None if tls is None else limits.longest_farewell_seconds,
            )
            servers.append(server)
    except BaseException:
        await running.close(0)
        raise
    return running


def _deaf_logger() -> logging.Logger:
    """Return a logger that drops aiohttp's complaints about clients that don't speak HTTP."""
    logger = logging.Logger("exporter.web.protocol")  # noqa: LOG001 - of its own, so that nothing global changes
    logger.addHandler(logging.NullHandler())
    return logger
