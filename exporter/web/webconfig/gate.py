"""What stands before every answer: the rate limit, then the password; and the headers that every answer carries."""

import secrets
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from exporter.clock import Clock
from exporter.web.management import HEALTHY_PATH, READY_PATH
from exporter.web.responses import error_answer
from exporter.web.webconfig.users import PasswordChecks, QueueFullError, client_of, read_authorization
from exporter.web.webconfig.web_config import FollowedWebConfig, FollowingContext, Rate, TokenBucket

HEALTH_PATHS: Final = frozenset({HEALTHY_PATH, READY_PATH})
_SECRET_BYTES: Final = 32
_NO_RATE: Final = Rate(interval_seconds=0, burst=0)


def gate_of(
    file: Path | None, clock: Clock, *, health_without_auth: bool, report: Callable[[bool], None] = lambda _: None
) -> "Gate | None":
    """Return what stands before every answer as a web configuration has it; None without one.

    Args:
        file: The web configuration.
        clock: By which the rate limit counts.
        health_without_auth: Whether health checks need no password.
        report: Is told after each attempt to load the file whether it succeeded.

    Raises:
        ConfigError: The file can't be used.
    """
    if file is None:
        return None
    secret = secrets.token_bytes(_SECRET_BYTES)
    return Gate(FollowedWebConfig(file, report), clock, secret=secret, health_without_auth=health_without_auth)


class Gate:
    """Lets in whom the web configuration lets in, as it is at that moment.

    Args:
        followed: The web configuration.
        clock: By which the rate limit counts.
        secret: Random bytes, by which right passwords are remembered.
        health_without_auth: Whether health checks need no password; TLS and the rate limit hold for them all the same.
    """

    def __init__(self, followed: FollowedWebConfig, clock: Clock, *, secret: bytes, health_without_auth: bool) -> None:
        self.followed = followed
        self._clock = clock
        self._passwords = PasswordChecks(secret)
        self._health_without_auth = health_without_auth
        self._bucket = TokenBucket(_NO_RATE, clock.monotonic)
        config = followed.current()
        self.tls: ssl.SSLContext | None = None if config.tls is None else FollowingContext(followed)
        """For the listening sockets; None: plain HTTP. Each connection gets the certificates of its moment."""
        if self.tls is not None and config.asks_for_http2:
            structlog.get_logger().info("http2 is not spoken here, clients get HTTP/1.1")

    def guard(self, app: web.Application) -> None:
        """Stand before all that an application answers, unknown paths included; to be called before it serves.

        What is refused passes through the middlewares that the application has already, so it is counted as well.
        """
        app.middlewares.append(self._middleware)
        app.on_response_prepare.append(self._add_headers)

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer in the place of a handler if the request may not come in."""
        config = self.followed.current()
        if not self._bucket_of(config.rate or _NO_RATE).admits():
            return error_answer(request.path, 429, "Too Many Requests")
        if not config.users or self._is_open(request):
            return await handler(request)
        try:
            is_known = await self._knows(request, config.users)
        except QueueFullError:
            refusal = error_answer(request.path, 429, "Too Many Requests: other passwords of this address are checked")
            refusal.headers[hdrs.RETRY_AFTER] = "1"
            return refusal
        if is_known:
            return await handler(request)
        refusal = error_answer(request.path, 401, "Unauthorized")
        refusal.headers[hdrs.WWW_AUTHENTICATE] = "Basic"
        return refusal

    async def _add_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Set the configured headers, over those that the exporter sets by itself."""
        response.headers.update(self.followed.current().headers)

    async def _knows(self, request: web.Request, users: Mapping[bytes, str]) -> bool:
        """Whether a request comes from one of the users."""
        credentials = read_authorization(request.headers.get(hdrs.AUTHORIZATION, ""))
        if credentials is None:
            return False

        def still_there() -> bool:
            return request.transport is not None and not request.transport.is_closing()

        return await self._passwords.admits(users, credentials, client_of(request.remote), still_there)

    def _bucket_of(self, rate: Rate) -> TokenBucket:
        """Return the bucket, a new and full one after the rate was changed."""
        if rate != self._bucket.rate:
            self._bucket = TokenBucket(rate, self._clock.monotonic)
        return self._bucket

    def _is_open(self, request: web.Request) -> bool:
        """Whether what would be answered is a health check that needs no password; by its route, not its spelling."""
        resource = request.match_info.route.resource
        return self._health_without_auth and resource is not None and resource.canonical in HEALTH_PATHS
