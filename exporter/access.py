"""The access to one account: session, credentials, client and budget, opened and closed together."""

import asyncio
import random
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import aiohttp
import structlog

from exporter.aliyun.client import Client
from exporter.aliyun.credentials import Credentials as Key
from exporter.aliyun.credentials import CredentialsSource
from exporter.aliyun.key_fetching import key_source
from exporter.aliyun.transport import open_session
from exporter.clock import Clock
from exporter.collect.limiter import Limiter
from exporter.collect.requests import AccountRequests
from exporter.config.credentials import Credentials
from exporter.config.model import Account
from exporter.metrics.self_metrics import AccountMetrics

_log = structlog.get_logger()


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
        self.access_key_id: str | None = None
        """Of the key in use; None: not known yet."""
        self.key_found: Callable[[], None] = lambda: None
        """Called when `access_key_id` has changed, before any request is signed with the key."""
        self.account = account.name
        self._source = ""
        self._clock = clock
        self._open_session = open_session
        self._settings, self._client, self._key = self._open(_Settings.of(account, request_timeout_seconds))
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
        return None if settings == self._settings else self._open(settings)

    def reread_credentials(self) -> None:
        """Fetch the key again at the next request."""
        self._client.reread_credentials()

    def switch(self, prepared: "Prepared") -> None:
        """Send all further requests by other settings; those that are under way end as they began."""
        retired, self._client = self._client, prepared.client
        self._settings, self.requests.client = prepared.settings, prepared.client
        self._key.report, self._key = None, prepared.key
        self.access_key_id = None
        self.metrics.credentials_unknown()
        closing = asyncio.create_task(retired.close_when_idle())
        self._retired[closing] = retired
        closing.add_done_callback(self._retired.pop)

    async def close(self) -> None:
        """Give up connections and credentials."""
        for closing, client in tuple(self._retired.items()):
            closing.cancel()
            await client.close()
        await self._client.close()

    def _open(self, settings: "_Settings") -> "Prepared":
        key = _KeyInUse(self._key_in_use)
        source = key_source(settings.credentials, proxy=settings.proxy, ca_file=settings.ca_file)
        client = Client(
            session=self._open_session(ca_file=settings.ca_file),
            endpoint=settings.endpoint,
            credentials=CredentialsSource(source, clock=self._clock, observer=key),
            clock=self._clock,
            nonce=lambda: secrets.token_hex(16),
            request_timeout_seconds=settings.request_timeout_seconds,
            proxy=settings.proxy,
            ca_file=settings.ca_file,
            observer=self.metrics,
        )
        return Prepared(settings, client, key)

    def _key_in_use(self, key: Key) -> None:
        """Publish and log what key signs the requests from now on, without showing it."""
        self.metrics.credentials_in_use(key.source, key.expires_at)
        if key.source != self._source:
            self._source = key.source
            _log.info("credentials in use", account=self.account, source=key.source)
        if key.access_key_id != self.access_key_id:
            self.access_key_id = key.access_key_id
            self.key_found()


class _KeyInUse:
    """Reports the key of one client, until another client takes its place."""

    def __init__(self, report: Callable[[Key], None]) -> None:
        self.report: Callable[[Key], None] | None = report

    def credentials_in_use(self, credentials: Key) -> None:
        """Report a key."""
        if self.report is not None:
            self.report(credentials)


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
    key: _KeyInUse
