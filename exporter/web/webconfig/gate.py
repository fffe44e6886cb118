"""What comes before every answer: the rate limit, then the password; and the headers that every answer carries."""

import secrets
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from exporter.core.clock import Clock
from exporter.web.application import HEALTHY_PATH, READY_PATH
from exporter.web.responses import error_answer, path_template
from exporter.web.webconfig.users import PasswordChecks, QueueFullError, client_of, read_authorization
from exporter.web.webconfig.web_config import FollowedWebConfig, RateLimit

HEALTH_PATHS: Final = frozenset({HEALTHY_PATH, READY_PATH})
_SECRET_BYTES: Final = 32


class TokenBucket:
    """Admits requests at a rate; full at first. `monotonic` returns seconds."""

    def __init__(self, rate: RateLimit, monotonic: Callable[[], float]) -> None:
        self.rate = rate
        self._monotonic = monotonic
        self._tokens = float(rate.burst)
        self._filled_at = monotonic()

    def admits(self) -> bool:
        """Take a token if there is one, and return whether there was."""
        if self.rate.interval_seconds <= 0:
            return True
        now = self._monotonic()
        self._tokens = min(self.rate.burst, self._tokens + (now - self._filled_at) / self.rate.interval_seconds)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def gate_of(
    file: Path | None, clock: Clock, *, health_without_auth: bool, report: Callable[[bool], None] = lambda _: None
) -> "Gate | None":
    """Return the gate of a web configuration, if there is one; `report` gets whether a load succeeded.

    Raises ConfigError.
    """
    if file is None:
        return None
    secret = secrets.token_bytes(_SECRET_BYTES)
    return Gate(FollowedWebConfig(file, report), clock, secret=secret, health_without_auth=health_without_auth)


class Gate:
    """Checks every request against the current web configuration; random bytes `secret` key its digests.

    With `health_without_auth`, health checks need no password; TLS and the rate limit still apply to them.
    """

    def __init__(self, followed: FollowedWebConfig, clock: Clock, *, secret: bytes, health_without_auth: bool) -> None:
        self.followed = followed
        self._clock = clock
        self._passwords = PasswordChecks(secret)
        self._health_without_auth = health_without_auth
        config = followed.current()
        self._bucket = TokenBucket(config.rate, clock.monotonic)
        self.tls: ssl.SSLContext | None = None if config.tls is None else FollowingContext(followed)
        """For the listening sockets; None: plain HTTP. Each connection gets the certificates of its moment."""
        if self.tls is not None and config.keys.http_server_config.http2:
            structlog.get_logger().info("http2 is not spoken here, clients get HTTP/1.1")

    def guard(self, app: web.Application) -> None:
        """Check all requests of an application, unknown paths included; call this before it serves."""
        app.middlewares.append(self._middleware)
        app.on_response_prepare.append(self._add_headers)

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        config = self.followed.current()
        if config.rate != self._bucket.rate:
            self._bucket = TokenBucket(config.rate, self._clock.monotonic)
        if not self._bucket.admits():
            return error_answer(request, 429, "Too Many Requests")
        is_open = self._health_without_auth and path_template(request) in HEALTH_PATHS
        if not config.users or is_open:
            return await handler(request)

        def still_there() -> bool:
            return request.transport is not None and not request.transport.is_closing()

        given, client = read_authorization(request.headers.get(hdrs.AUTHORIZATION, "")), client_of(request.remote)
        try:
            is_known = given is not None and await self._passwords.admits(config.users, given, client, still_there)
        except QueueFullError:
            refusal = error_answer(request, 429, "Too Many Requests: other passwords of this address are checked")
            refusal.headers[hdrs.RETRY_AFTER] = "1"
            return refusal
        if is_known:
            return await handler(request)
        refusal = error_answer(request, 401, "Unauthorized")
        refusal.headers[hdrs.WWW_AUTHENTICATE] = "Basic"
        return refusal

    async def _add_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self.followed.current().headers)


class FollowingContext(ssl.SSLContext):
    """Makes each connection by the context of that moment: an authority can't be removed from a live one."""

    _followed: FollowedWebConfig

    def __new__(cls, followed: FollowedWebConfig) -> Self:
        """Create one."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context._followed = followed
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a connection; asyncio and uvloop call this once for each."""
        context = self._followed.current().tls
        if context is None:
            raise ssl.SSLError("no TLS")
        return context.wrap_bio(incoming, outgoing, server_side, server_hostname, session)
