"""The access to one account: session, credentials, client and budget, opened and closed together."""

import random
import secrets
from pathlib import Path
from typing import Protocol

import aiohttp

from exporter.aliyun.client import Client
from exporter.aliyun.credentials import CredentialsSource
from exporter.aliyun.key_fetching import fetcher
from exporter.aliyun.transport import open_session
from exporter.clock import Clock
from exporter.collect.limiter import Limiter
from exporter.collect.requests import AccountRequests
from exporter.config.model import Account
from exporter.metrics.self_metrics import AccountMetrics


class OpenSession(Protocol):
    """Opens what carries an account's requests."""

    def __call__(self, *, ca_file: Path | None) -> aiohttp.ClientSession:
        """Return a session; raises ValueError where `ca_file` can't be used."""


class Access:
    """Everything that it takes to send requests for one account."""

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
        self.limiter = limiter
        self.metrics = metrics
        credentials = CredentialsSource(
            fetcher(account.credentials, proxy=account.proxy, ca_file=account.ca_file), clock=clock, observer=metrics
        )
        self._client = Client(
            session=open_session(ca_file=account.ca_file),
            endpoint=account.endpoint,
            credentials=credentials,
            clock=clock,
            nonce=lambda: secrets.token_hex(16),
            request_timeout_seconds=request_timeout_seconds,
            proxy=account.proxy,
            observer=metrics,
        )
        self.requests = AccountRequests(self._client, limiter, clock=clock, rng=rng, events=metrics)

    async def close(self) -> None:
        """Give up connections and credentials."""
        await self._client.close()
