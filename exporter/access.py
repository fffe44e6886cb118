"""The access to one account: session, credentials, client and budget, opened and closed together."""

import asyncio
import random
import secrets
from pathlib import Path
from typing import NamedTuple, Protocol

import aiohttp

from exporter.aliyun.client import Client
from exporter.aliyun.credentials import CredentialsSource
from exporter.aliyun.key_fetching import fetcher
from exporter.aliyun.transport import open_session
from exporter.clock import Clock
from exporter.collect.limiter import Limiter
from exporter.collect.requests import AccountRequests
from exporter.config.credentials import Credentials
from exporter.config.model import Account
from exporter.metrics.self_metrics import AccountMetrics


class OpenSession(Protocol):
    """Opens what carries an account's requests."""

    def __call__(self, *, ca_file: Path | None) -> aiohttp.ClientSession:
        """Return a session; raises UsageError where `ca_file` can't be used."""


class Access:
    """Everything that it takes to send requests for one account. Its settings can change while requests are sent."""

    def __init__(
        self,
        account: Account,
        limiter: Limiter,
        metrics: AccountMetrics,
        *,
        request_timeout_seconds: float,
        clock: Clock,
        rng: random.Random,
        open_session: OpenSession = open_session,
    ) -> None:
        self.metrics = metrics
        self._clock = clock
        self._open_session = open_session
        self._settings = _Settings.of(account, request_timeout_seconds)
        self._client = self._open(self._settings)
        self._retired: dict[asyncio.Task[None], Client] = {}
        self.requests = AccountRequests(self._client, limiter, clock=clock, rng=rng, events=metrics)

    @property
    def limiter(self) -> Limiter:
        """The budget in force."""
        return self.requests.limiter

    @property
    def endpoint(self) -> str:
        """Where the requests go."""
        return self._settings.endpoint

    def prepare(self, account: Account, *, request_timeout_seconds: float) -> "Prepared | None":
        """Open what other settings need; None where they are in force already.

        Raises:
            UsageError: The CA file can't be used.
        """
        settings = _Settings.of(account, request_timeout_seconds)
        return None if settings == self._settings else Prepared(settings, self._open(settings))

    def switch(self, prepared: "Prepared") -> None:
        """Send all further requests by other settings; those that are under way end as they began."""
        retired, self._client = self._client, prepared.client
        self._settings, self.requests.client = prepared.settings, prepared.client
        closing = asyncio.create_task(retired.close_when_idle())
        self._retired[closing] = retired
        closing.add_done_callback(self._retired.pop)

    async def close(self) -> None:
        """Give up connections and credentials."""
        for closing, client in tuple(self._retired.items()):
            closing.cancel()
            await client.close()
        await self._client.close()

    def _open(self, settings: "_Settings") -> Client:
        fetch = fetcher(settings.credentials, proxy=settings.proxy, ca_file=settings.ca_file)
        return Client(
            session=self._open_session(ca_file=settings.ca_file),
            endpoint=settings.endpoint,
            credentials=CredentialsSource(fetch, clock=self._clock, observer=self.metrics),
            clock=self._clock,
            nonce=lambda: secrets.token_hex(16),
            request_timeout_seconds=settings.request_timeout_seconds,
            proxy=settings.proxy,
            ca_file=settings.ca_file,
            observer=self.metrics,
        )


class _Settings(NamedTuple):
    """What a client is made from."""

    endpoint: str
    credentials: Credentials
    proxy: str | None
    ca_file: Path | None
    request_timeout_seconds: float

    @classmethod
    def of(cls, account: Account, request_timeout_seconds: float) -> "_Settings":
        """Take from an account what concerns its requests."""
        return cls(account.endpoint, account.credentials, account.proxy, account.ca_file, request_timeout_seconds)


class Prepared(NamedTuple):
    """Other settings of an access, ready to be switched to, or to be closed."""

    settings: _Settings
    client: Client
