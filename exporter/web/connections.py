"""Limits on what clients may ask for, and connections bounded in number, size and time.

aiohttp closes idle connections, but a request that never ends, or a client that does not read, has no deadline there.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Struct


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


_READING_SECONDS: Final = 0.002
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
        self._by_protocol: dict[asyncio.BaseProtocol, _Connection] = {}
        self._waiting: dict[_Connection, None] = {}
        """Those without a request, the one that has been so for longest first."""
        self._warned_at = -WARN_SECONDS

    def bounded(self, make_protocol: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Wrap a protocol factory so that its connections are within the limits."""
        return lambda: _Connection(make_protocol, self)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note when a request is complete and when its response is made."""
        connection = self._by_protocol.get(request.protocol)
        if connection is None:  # it was cut off a moment ago
            raise ConnectionResetError("the connection is closed")
        self._waiting.pop(connection, None)
        connection.answer_begins()
        try:
            return await handler(request)
        finally:
            if connection.protocol in self._by_protocol:
                self._waiting[connection] = None
                connection.answer_is_made()

    def has_room(self) -> bool:
        """Whether a connection may be added; the one without a request for longest is closed for it."""
        if len(self._by_protocol) < self.limits.most_connections:
            return True
        self._warn()
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        longest.cut_off()
        return True

    def add(self, connection: "_Connection") -> None:
        """Count a connection, which has no request yet."""
        self._by_protocol[connection.protocol] = connection
        self._waiting[connection] = None

    def remove(self, connection: "_Connection") -> None:
        """Forget a connection that has ended."""
        self._by_protocol.pop(connection.protocol, None)
        self._waiting.pop(connection, None)

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
        self._deadline: asyncio.TimerHandle | None = None
        self._is_answering = False
        self._is_idle = False
        self._request_bytes = 0
        self.protocol = asyncio.Protocol()  # aiohttp's, from when the connection is admitted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start, or refuse if there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._connections.has_room():
            self._refuse("503 Service Unavailable", "too many connections, all of them are being answered\n")
            return
        self.protocol = self._make_protocol()
        self._connections.add(self)
        self._end_within(self._limits.longest_head_seconds)
        self.protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass data on, unless the request is too large."""
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
        """Note that a request is complete."""
        self._is_answering, self._is_idle, self._request_bytes = True, False, 0
        self._end_within(self._limits.longest_answer_seconds)

    def answer_is_made(self) -> None:
        """Note that a response is made; its end may still have to be sent."""
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
        self._connections.remove(self)
        if self._deadline is not None:
            self._deadline.cancel()

    def _end_within(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        loop = asyncio.get_running_loop()
        # uvloop runs timers before it reads: after a halt, what came in time is read first.
        self._deadline = loop.call_later(seconds, lambda: self._end_soon(loop))

    def _end_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        self._deadline = loop.call_later(_READING_SECONDS, self.cut_off)
