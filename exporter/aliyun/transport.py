"""Sending: one shared session for each account, one bounded HTTP exchange at a time, perhaps through a proxy."""

import asyncio
import errno
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

import aiohttp
import structlog
from isal import isal_zlib
from yarl import URL

from exporter.aliyun.errors import MAX_ERROR_BYTES, ApiError
from exporter.config.mistakes import UsageError
from exporter.config.value_types import Unfit, parse_proxy
from exporter.core.clock import Clock
from exporter.core.collection_state import State
from exporter.core.regular_file import file_signature
from exporter.core.threads import Worker

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Proxy(NamedTuple):
    """An HTTP proxy, and the setting that names it."""

    url: str  # may hold a password: never shown
    setting: str  # `proxy`, or the name of an environment variable

    @property
    def shown(self) -> str:
        """Return host and port, without user and password."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def proxy_for(
    scheme: str, host: str, port: int, *, configured: str | None, environment: Mapping[str, str]
) -> Proxy | None:
    """Return the proxy for requests to a host, if any; raises ValueError that names the setting, never its value."""
    if configured is not None:
        return _checked(configured, "proxy")
    name, proxy = _variable(f"{scheme}_proxy", environment)
    if not proxy or is_exempt(host, port, _variable("no_proxy", environment)[1]):
        return None
    return _checked(proxy if "://" in proxy else f"http://{proxy}", name)


def is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY (names, `*.name`, addresses, networks, each perhaps with a port, `*`) exempts a host."""
    host = host.lower().rstrip(".")
    return any(
        name == "*" or (only_port in {None, port} and _matches(host, name)) for name, only_port in _entries(no_proxy)
    )


def _variable(name: str, environment: Mapping[str, str]) -> tuple[str, str]:
    name = name if name in environment else name.upper()
    return name, environment.get(name, "").strip()


def _checked(url: str, setting: str) -> Proxy:
    try:
        return Proxy(parse_proxy(url), setting)
    except Unfit as expected:
        raise ValueError(f"{setting} is not a usable address of a proxy, expected {expected}") from None


def _entries(no_proxy: str) -> Iterator[tuple[str, int | None]]:
    for entry in re.split(r"[,\s]+", no_proxy.lower()):
        parts = re.fullmatch(r"(?:\[([^]]+)\]|([^:]+))(?::([0-9]{1,5}))?", entry)
        if parts:
            yield parts[1] or parts[2], int(parts[3]) if parts[3] else None
        elif entry:
            yield entry, None


def _matches(host: str, name: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False)
    except ValueError:
        pass
    if name.startswith("*."):
        return host.endswith(name[1:])
    name = name.strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


THREADS: Final = 2  # for the endpoint and a proxy


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


def transport_failure(error: Exception, *, host: str, port: int, proxy: Proxy | None) -> ApiError:
    """Say why no answer came for a host, by settings and host names, never by what an exception quotes."""
    if isinstance(error, TimeoutError):
        through = f" through the proxy {proxy.shown}" if proxy else ""
        return ApiError(
            State.TIMEOUT,
            f"{host}:{port} did not answer in time{through}: check the network, or raise request_timeout",
            retryable=True,
        )
    sentence = (proxy and _proxy_sentence(error, f"{host}:{port}", proxy)) or _network_sentence(error, host, port)
    if sentence is not None:
        return ApiError(State.NETWORK_ERROR, sentence, retryable=True)
    settings = f"endpoint, {proxy.setting}" if proxy else "endpoint"
    return ApiError(
        State.NETWORK_ERROR,
        f"no request could be made for {host}:{port} ({type(error).__name__}): check {settings} and the credentials",
    )


def _proxy_sentence(error: Exception, where: str, proxy: Proxy) -> str | None:
    match error:
        case aiohttp.ClientHttpProxyError(status=407):
            return f"the proxy {proxy.shown} demands a login: check user and password of {proxy.setting}"
        case aiohttp.ClientHttpProxyError(status=status):
            return f"the proxy {proxy.shown} refused to connect to {where} with status {status}"
        case aiohttp.ClientConnectorDNSError():
            return f"the proxy {proxy.shown} cannot be resolved: check {proxy.setting} and the DNS of this machine"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy {proxy.shown} cannot be reached: check {proxy.setting}"
        case _:
            return None


def _network_sentence(error: Exception, host: str, port: int) -> str | None:
    where = f"{host}:{port}"
    match error:
        case aiohttp.ClientConnectorCertificateError():
            sentence = f"the certificate of {host} is not trusted: set ca_file if a proxy in between signs with its own"
        case aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            sentence = f"no TLS with {where}: check that the endpoint's scheme and port are right"
        case aiohttp.ClientConnectorDNSError():
            sentence = f"{host} cannot be resolved: check endpoint and the DNS of this machine"
        case OSError(errno=errno.ECONNREFUSED):
            sentence = f"{where} refuses connections: check endpoint"
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH | errno.ETIMEDOUT):
            sentence = f"{where} cannot be reached: check the network, its routes and firewalls"
        case aiohttp.ClientResponseError():
            sentence = f"{where} does not speak HTTP: check that the endpoint's scheme and port are right"
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
            sentence = f"the connection to {where} broke off: if that lasts, look for a proxy or firewall in between"
        case _:
            return None
    return sentence


MAX_CONNECTIONS: Final = 50  # as many as the service takes requests per second: with more in flight it is already late
READ_BUFFER_BYTES: Final = 256 * 1024
_ZLIB: Final = 15  # zlib's names for forms of its streams
_BARE: Final = -15
_GZIP: Final = 31
_DAMAGED: Final = cast("type[Exception]", isal_zlib.error)
MAX_BODY_BYTES: Final = 4 * 1024 * 1024  # of a page, decompressed. One of 100 tasks usually has about 300 kB.
MAX_MEMBERS: Final = 1000  # of gzip: each costs a decompressor, and an empty one is 20 bytes
LARGE_BODY_BYTES: Final = 512 * 1024
LARGE_BODIES: Final = 2
"""This many larger ones are in memory at a time, from here until they are decoded; others wait for their turn."""
KEEP_ALIVE_SECONDS: Final = 15.0
"""Idle connections are dropped before a server is likely to: a POST on one that it has just closed is lost."""

_log = structlog.get_logger()


class Endpoint(NamedTuple):
    """The service's address."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Return the host as in a URL and in the header `host`: with a port that is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_endpoint(address: str) -> Endpoint:
    """Read an endpoint such as `https://live.aliyuncs.com`; raises ValueError if it is not scheme and host alone."""
    parts = urlsplit(address)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError(f"{address!r} is no endpoint: expected scheme and host, as https://live.aliyuncs.com")
    return Endpoint(parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme])


class HttpAnswer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    midpoint: float
    """Wall-clock seconds halfway between sending and the headers' arrival: when the service most likely dated it."""


def open_session(*, ca_file: Path | None = None) -> aiohttp.ClientSession:
    """Open an account's session: keep-alive, gzip, no cookies; raises as `trusting` does."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=True if ca_file is None else trusting(ca_file),  # True: aiohttp's own TLS, shared by all sessions
            limit=MAX_CONNECTIONS,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            resolver=NameResolver(),
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "gzip"},
        skip_auto_headers=("Content-Type",),
        auto_decompress=False,  # aiohttp refuses an answer in another coding before its status can be seen
        read_bufsize=READ_BUFFER_BYTES,
    )


def trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Return TLS that trusts the system's authorities and those of a PEM file; raises UsageError if there are none."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise UsageError(f"ca_file {ca_file}: expected certificates as PEM, but {error.strerror}") from error
    return context


class FollowedAuthorities:
    """The authorities of a file as it is now; a state of it that can't be used changes nothing."""

    def __init__(self, ca_file: Path | None) -> None:
        self._file = ca_file
        self._seen = file_signature(ca_file)
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext | bool:
        """Return what verifies the service's certificate; True: the session's own TLS, the file has not changed."""
        seen = file_signature(self._file)
        if self._file is not None and seen is not None and seen != self._seen:
            self._seen = seen
            try:
                self._context = trusting(self._file)
            except UsageError as error:
                _log.warning("ca_file not loaded, the authorities before it stay", reason=str(error))
            else:
                _log.info("ca_file loaded", file=str(self._file))
        return self._context or True


class Decompressor:
    """Decompresses a body piece by piece, but for codings other than gzip and deflate; a lost end is not noticed."""

    def __init__(self, content_encoding: str) -> None:
        self._coding = content_encoding.strip().lower()
        self._stream: Any = None
        self._members = 0

    def pieces(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece of the body holds, in pieces of bounded size; raises `_DAMAGED` if it is damaged."""
        if self._coding not in {"gzip", "x-gzip", "deflate"}:
            yield piece
            return
        is_more = bool(piece)
        while is_more:
            if self._stream is None or self._stream.eof:  # gzip may have several members
                self._members += 1
                if self._members > MAX_MEMBERS:
                    raise _DAMAGED(f"more than {MAX_MEMBERS} members")
                self._stream = isal_zlib.decompressobj(self._window_bits(piece))
            plain = self._stream.decompress(piece, READ_BUFFER_BYTES)
            yield plain
            piece = self._stream.unused_data or self._stream.unconsumed_tail
            is_more = bool(piece) or (len(plain) == READ_BUFFER_BYTES and not self._stream.eof)

    def _window_bits(self, piece: bytes) -> int:
        """Return how zlib reads the coding: `deflate` is sent with zlib's header, or bare."""
        if self._coding != "deflate":
            return _GZIP
        return _ZLIB if piece[0] & 0x0F == isal_zlib.DEFLATED else _BARE


class Transport:
    """Sends signed requests to one endpoint; `timeout_seconds` is for one exchange, from connecting to the last byte.

    Without a configured proxy HTTPS_PROXY (HTTP_PROXY for http) and NO_PROXY decide, as they are now.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        endpoint: Endpoint,
        *,
        clock: Clock,
        timeout_seconds: float,
        proxy: str | None,
        ca_file: Path | None = None,
    ) -> None:
        self._session = session
        self.endpoint = endpoint
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._authorities = FollowedAuthorities(ca_file)
        self._proxy: Proxy | None = None
        self._unusable_proxy = ""
        try:
            self._proxy = proxy_for(*endpoint, configured=proxy, environment=os.environ)
        except ValueError as error:
            self._unusable_proxy = str(error)
        self._large_bodies = asyncio.Semaphore(LARGE_BODIES)

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()

    @asynccontextmanager
    async def post(self, query: str, headers: Mapping[str, str]) -> AsyncIterator[HttpAnswer]:
        """Make one POST with this query, byte for byte, and no body; read its answer whole. Raises ApiError."""
        if self._unusable_proxy:
            raise ApiError(State.NETWORK_ERROR, self._unusable_proxy)
        sent_at = self._clock.now()
        async with AsyncExitStack() as held:
            try:
                async with self._session.post(
                    URL(f"{self.endpoint.scheme}://{self.endpoint.authority}/?{query}", encoded=True),
                    headers=headers,
                    timeout=self._timeout,
                    proxy=self._proxy.url if self._proxy else None,
                    ssl=self._authorities.context(),
                    allow_redirects=False,
                ) as response:
                    midpoint = (sent_at + self._clock.now()) / 2
                    body = await self._read(response, held)
            except ApiError:
                raise
            except Exception as error:
                _, host, port = self.endpoint
                raise transport_failure(error, host=host, port=port, proxy=self._proxy) from error
            yield HttpAnswer(response.status, response.headers, body, midpoint)

    async def _read(self, response: aiohttp.ClientResponse, held: AsyncExitStack) -> bytes:
        """Read a body up to its bound; `held` gets a place among large ones. A broken error is what its status says."""
        pieces: list[bytes] = []
        size = 0
        is_page = response.status == HTTPStatus.OK
        compressed = Decompressor(response.headers.get("Content-Encoding", ""))
        try:
            async for sent in response.content.iter_any():
                for piece in compressed.pieces(sent):
                    pieces.append(piece)
                    is_first_large = size <= LARGE_BODY_BYTES < size + len(piece)
                    size += len(piece)
                    if not is_page and size > MAX_ERROR_BYTES:
                        return b"".join(pieces)
                    if size > MAX_BODY_BYTES:
                        raise ApiError(
                            State.INVALID_RESPONSE,
                            f"the answer has more than {MAX_BODY_BYTES // 1024**2} MiB: check that the endpoint is the"
                            " service's",
                            status=response.status,
                        )
                    if is_first_large:
                        await held.enter_async_context(self._large_bodies)
        except (aiohttp.ClientError, OSError):  # a timeout, too
            if is_page:
                raise
        except _DAMAGED as error:
            if is_page:
                raise ApiError(
                    State.INVALID_RESPONSE,
                    "the service's answer can't be decompressed: if that lasts, look for a proxy that changes answers",
                    status=response.status,
                    retryable=True,
                ) from error
        return b"".join(pieces)
