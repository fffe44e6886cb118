"""The access to one account: session, credentials, client and budget, opened and closed together."""

import asyncio
import random
import secrets
from collections import Counter, UserDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import NamedTuple

import aiohttp
import structlog

from exporter.aliyun.client import Client
from exporter.aliyun.credentials import Credentials as Key
from exporter.aliyun.credentials import CredentialsSource, key_source
from exporter.aliyun.transport import Transport, open_session, parse_endpoint
from exporter.collector.rate_limiter import Limiter
from exporter.collector.requests import AccountRequests
from exporter.config.capacity import limiter_groups, limiter_marks
from exporter.config.model import Account, Config, Credentials
from exporter.core.clock import Clock
from exporter.metrics.self_metrics import AccountMetrics, SelfMetrics

_log = structlog.get_logger()


OpenSession = Callable[..., aiohttp.ClientSession]
"""Opens what carries an account's requests; takes `ca_file=`, and raises UsageError where it can't be used."""


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
        self.access_key_id: str | None = None  # of the key in use; None: not known yet
        self.key_found: Callable[[], None] = lambda: None
        """Called when `access_key_id` has changed, before any request is signed with the key."""
        self.account = account.name
        self._source = ""
        self._clock = clock
        self._open_session = open_session
        self._settings, self._client = self._open(_Settings.of(account, request_timeout_seconds))
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
        """Open what other settings need; None where they are in force. Raises UsageError for a bad CA file."""
        settings = _Settings.of(account, request_timeout_seconds)
        return None if settings == self._settings else self._open(settings)

    def reread_credentials(self) -> None:
        """Fetch the key again at the next request."""
        self._client.reread_credentials()

    def switch(self, prepared: "Prepared") -> None:
        """Send all further requests by other settings; those that are under way end as they began."""
        retired, self._client = self._client, prepared.client
        self._settings, self.requests.client = prepared.settings, prepared.client
        self.access_key_id = None
        self.metrics.credentials_unknown()
        closing = asyncio.create_task(retired.close_when_idle())
        self._retired[closing] = retired
        closing.add_done_callback(self._retired.pop)

    async def close(self) -> None:
        """Close connections and stop renewing credentials."""
        for closing, client in tuple(self._retired.items()):
            closing.cancel()
            await client.close()
        await self._client.close()

    def _open(self, settings: "_Settings") -> "Prepared":
        source = key_source(settings.credentials, proxy=settings.proxy, ca_file=settings.ca_file)
        transport = Transport(
            self._open_session(ca_file=settings.ca_file),
            parse_endpoint(settings.endpoint),
            clock=self._clock,
            timeout_seconds=settings.request_timeout_seconds,
            proxy=settings.proxy,
            ca_file=settings.ca_file,
        )
        client = Client(
            transport,
            credentials=CredentialsSource(source, clock=self._clock, in_use=partial(self._key_in_use, settings)),
            clock=self._clock,
            nonce=lambda: secrets.token_hex(16),
            observer=self.metrics,
        )
        return Prepared(settings, client)

    def _key_in_use(self, settings: "_Settings", key: Key) -> None:
        """Publish and log what key signs the requests from now on, without showing it; not if these settings ended."""
        if settings is not self._settings:
            return
        self.metrics.credentials_in_use(key.source, key.expires_at)
        if key.source != self._source:
            self._source = key.source
            _log.info("credentials in use", account=self.account, source=key.source)
        if key.access_key_id != self.access_key_id:
            self.access_key_id = key.access_key_id
            self.key_found()


class _Settings(NamedTuple):
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


class Accesses(UserDict[str, Access]):
    """One access for each account, by its name."""

    def __init__(self, metrics: SelfMetrics, *, clock: Clock, rng: random.Random, open_session: OpenSession) -> None:
        super().__init__()
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._open_session = open_session
        self._accounts: dict[str, Account] = {}
        self._limiters = LimiterPool(clock)
        self._replaced: list[Access] = []

    async def apply(self, config: Config) -> AbstractSet[str]:
        """Run the accounts of another configuration; return the names of those that kept access and endpoint.

        Replaced accesses stay open until `close_replaced`. Raises UsageError for a CA file; nothing has changed then.
        """
        opened, prepared = await self._opened(config)
        for name, other in prepared.items():
            self.data[name].switch(other)
        before, self.data = (
            self.data,
            {account.name: opened.get(account.name) or self.data[account.name] for account in config.accounts},
        )
        self._accounts = {account.name: account for account in config.accounts}
        self._share_limiters()
        self._replaced += (access for name, access in before.items() if self.data.get(name) is not access)
        for name in before.keys() - self.data.keys():
            self._metrics.remove_account(name)
        return self.data.keys() - opened.keys()

    async def close_replaced(self) -> None:
        """Close the connections of replaced accesses."""
        while self._replaced:
            await self._replaced.pop().close()

    async def close(self) -> None:
        """Close all connections."""
        await self.close_replaced()
        for access in self.data.values():
            await access.close()

    async def _opened(self, config: Config) -> tuple[dict[str, Access], dict[str, Prepared]]:
        timeout_seconds = config.collection.request_timeout_seconds
        opened: dict[str, Access] = {}
        prepared: dict[str, Prepared] = {}
        try:
            for account in config.accounts:
                access = self.get(account.name)
                if access is None or access.endpoint != account.endpoint:  # a new account, or another service
                    opened[account.name] = self._open(account, timeout_seconds)
                elif (other := access.prepare(account, request_timeout_seconds=timeout_seconds)) is not None:
                    prepared[account.name] = other
                else:
                    access.reread_credentials()
        except BaseException:
            for access in opened.values():
                await access.close()
            for other in prepared.values():
                await other.client.close()
            for account in config.accounts:
                if account.name not in self.data:
                    self._metrics.remove_account(account.name)
            raise
        return opened, prepared

    def _share_limiters(self) -> None:
        key_ids = {name: access.access_key_id for name, access in self.data.items() if access.access_key_id}
        for name, limiter in self._limiters.regroup(tuple(self._accounts.values()), key_ids).items():
            self.data[name].requests.limiter = limiter

    def _key_found(self, access: Access) -> None:
        """Let accounts share a limiter that turn out to have one key."""
        account = self._accounts.get(access.account)
        if account is None or self.data[access.account] is not access or access.access_key_id is None:
            return
        if self._limiters.fetched(account, access.access_key_id):
            self._share_limiters()

    def _open(self, account: Account, timeout_seconds: float) -> Access:
        access = Access(
            account,
            Limiter(account.requests_per_second, clock=self._clock),
            self._metrics.add_account(account.name),
            request_timeout_seconds=timeout_seconds,
            clock=self._clock,
            rng=self._rng,
            open_session=self._open_session,
        )
        access.key_found = lambda: self._key_found(access)
        return access


class LimiterPool:
    """Which limiter each account has. One counts what those that it replaces let go in the last second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limiters: dict[Hashable, Limiter] = {}
        """By what accounts must share to belong to it, fetched keys included, and by their names and endpoints."""

    def regroup(self, accounts: Sequence[Account], key_ids: Mapping[str, str]) -> dict[str, Limiter]:
        """Apply another configuration in one step that can't fail; return each account's limiter, by name."""
        before, self._limiters = self._limiters, {}
        planned = [(members, *_marks(members, key_ids)) for members in limiter_groups(accounts, key_ids)]
        # By names, too: what waits there is signed with the keys of this group from now on.
        inherited = [_known(marks | names, before) for _, marks, names in planned]
        heirs = Counter(old for parents in inherited for old in parents)
        found: dict[str, Limiter] = {}
        for (members, marks, names), parents in zip(planned, inherited, strict=True):
            rate = min(account.requests_per_second for account in members)
            if len(parents) == 1 and heirs[parents[0]] == 1:
                limiter = parents[0]
                limiter.set_rate(rate)
            else:
                limiter = Limiter(rate, clock=self._clock)
                for old in parents:
                    old.hand_over(limiter)
                if not parents:
                    limiter.wait_a_window()
            self._limiters |= dict.fromkeys((*marks, *names), limiter)
            found |= {account.name: limiter for account in members}
        for old in heirs.keys() - self._limiters.values():
            old.send_away()
        return found

    def fetched(self, account: Account, key_id: str) -> bool:
        """Take in whose key an account has; return whether groups have to be made again for it."""
        own = self._limiters[account.name, account.endpoint]
        return self._limiters.setdefault(("key", account.endpoint, key_id), own) is not own


def _marks(members: Sequence[Account], key_ids: Mapping[str, str]) -> tuple[set[Hashable], set[Hashable]]:
    marks = set[Hashable]().union(*(limiter_marks(account, key_ids.get(account.name)) for account in members))
    return marks, {(account.name, account.endpoint) for account in members}


def _known(marks: set[Hashable], limiters: Mapping[Hashable, Limiter]) -> list[Limiter]:
    return list({limiters[mark] for mark in marks if mark in limiters})
