"""A scripted HTTP service on loopback, a simulated one without sockets, and what a client needs to talk to them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from exporter.aliyun.client import Client
from exporter.aliyun.credentials import Credentials, CredentialsSource, Fetch, KeySource
from exporter.aliyun.transport import Transport, open_session, parse_endpoint
from exporter.core.clock import Clock, SystemClock
from exporter.core.collection_state import State
from exporter.core.secret import Secret
from exporter.simulator import protocol as message
from exporter.simulator.service import Service

Answer = Callable[[web.BaseRequest], web.StreamResponse | Awaitable[web.StreamResponse]]

KEY = Credentials(access_key_id="id", access_key_secret=Secret("secret"))


@dataclass
class FakeService:
    """Answers with `answers` in turn, the last one forever; remembers the requests."""

    answers: list[Answer]
    requests: list[web.BaseRequest] = field(default_factory=list)
    address: str = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1](request)
        return answer if isinstance(answer, web.StreamResponse) else await answer


@asynccontextmanager
async def serving(*answers: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeService]:
    """Serve on a free port of 127.0.0.1."""
    service = FakeService(list(answers))
    runner = web.ServerRunner(web.Server(service.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    service.address = f"http{'s' if tls else ''}://127.0.0.1:{port}"
    try:
        yield service
    finally:
        await runner.cleanup()


def answer_json(content: object, *, status: int = 200, **headers: str) -> Answer:
    """Return an answer with a JSON body; `_` in the names of headers is `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request: web.json_response(content, status=status, headers=named)


def answer_text(text: str, *, status: int = 200, content_type: str = "text/html") -> Answer:
    """Return an answer with a text body."""
    return lambda _request: web.Response(text=text, status=status, content_type=content_type)


EMPTY_PAGE = answer_json({"RequestId": "r", "MPUTasks": []})


@dataclass
class Observed:
    """Remembers what a client reports."""

    finished: list[State] = field(default_factory=list)
    skews: list[float] = field(default_factory=list)
    expiries: list[float] = field(default_factory=list)

    def request_finished(self, outcome: State, seconds: float) -> None:
        assert seconds >= 0
        self.finished.append(outcome)

    def clock_skew(self, seconds: float) -> None:
        self.skews.append(seconds)

    def credentials_in_use(self, credentials: Credentials) -> None:
        if credentials.expires_at is not None:
            self.expiries.append(credentials.expires_at)


@asynccontextmanager
async def client_of(
    endpoint: str,
    observed: Observed,
    *,
    fetch: Fetch = lambda: KEY,
    timeout_seconds: float = 5.0,
    proxy: str | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Client]:
    """Open a client for an endpoint."""
    clock = clock or SystemClock()
    nonces = iter(range(1_000_000))
    transport = Transport(
        open_session(), parse_endpoint(endpoint), clock=clock, timeout_seconds=timeout_seconds, proxy=proxy
    )
    client = Client(
        transport,
        credentials=CredentialsSource(KeySource(fetch=fetch), clock=clock, in_use=observed.credentials_in_use),
        clock=clock,
        nonce=lambda: f"nonce-{next(nonces)}",
        observer=observed,
    )
    try:
        yield client
    finally:
        await client.close()


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
        self._body = response.body
        self.content = self

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self._body
