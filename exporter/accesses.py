"""The accesses to all accounts of a configuration, which take on another one as a whole or not at all."""

import random
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from exporter.access import Access, OpenSession, Prepared
from exporter.clock import Clock
from exporter.collect.limiter import Limiter
from exporter.collect.limiter_pool import LimiterPool
from exporter.config.model import Account, Config
from exporter.metrics.self_metrics import SelfMetrics


class Accesses(Mapping[str, Access]):
    """One access for each account, by its name.

    Args:
        metrics: The exporter's own.
        clock: For everything.
        rng: For pauses between attempts.
        open_session: Opens what carries requests.
    """

    def __init__(self, metrics: SelfMetrics, *, clock: Clock, rng: random.Random, open_session: OpenSession) -> None:
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._open_session = open_session
        self._accesses: dict[str, Access] = {}
        self._accounts: dict[str, Account] = {}
        self._limiters = LimiterPool(clock)
        self._replaced: list[Access] = []

    def __getitem__(self, name: str) -> Access:
        return self._accesses[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._accesses)

    def __len__(self) -> int:
        return len(self._accesses)

    async def apply(self, config: Config) -> AbstractSet[str]:
        """Run the accounts of another configuration.

        An account keeps its access while its endpoint is the same: other credentials, proxies, budgets and timeouts
        hold from the next request on, and nothing that is under way is cut off.

        Accesses that are replaced stay open until `close_replaced`, so that whoever uses them can end first.

        Returns:
            The names of the accounts that kept theirs.

        Raises:
            UsageError: A CA file can't be used; nothing has changed then.
        """
        opened, prepared = await self._opened(config)
        for name, other in prepared.items():
            self._accesses[name].switch(other)
        before, self._accesses = (
            self._accesses,
            {account.name: opened.get(account.name) or self._accesses[account.name] for account in config.accounts},
        )
        self._accounts = {account.name: account for account in config.accounts}
        self._share_limiters()
        self._replaced += (access for name, access in before.items() if self._accesses.get(name) is not access)
        for name in before.keys() - self._accesses.keys():
            self._metrics.remove_account(name)
        return self._accesses.keys() - opened.keys()

    async def close_replaced(self) -> None:
        """Give up the connections of accesses that others have replaced."""
        while self._replaced:
            await self._replaced.pop().close()

    async def close(self) -> None:
        """Give up all connections."""
        await self.close_replaced()
        for access in self._accesses.values():
            await access.close()

    async def _opened(self, config: Config) -> tuple[dict[str, Access], dict[str, Prepared]]:
        """Return the accesses that are new, and the other settings of those that stay; all or none."""
        timeout_seconds = config.collection.request_timeout_seconds
        opened: dict[str, Access] = {}
        prepared: dict[str, Prepared] = {}
        try:
            for account in config.accounts:
                access = self._kept(account)
                if access is None:
                    opened[account.name] = self._open(account, timeout_seconds)
                elif (other := access.prepare(account, request_timeout_seconds=timeout_seconds)) is not None:
                    prepared[account.name] = other
                else:
                    access.reread_credentials()
        except BaseException:
            await self._give_up(opened, prepared)
            for account in config.accounts:
                if account.name not in self._accesses:
                    self._metrics.remove_account(account.name)
            raise
        return opened, prepared

    def _kept(self, account: Account) -> Access | None:
        """Return the access that goes on under other settings; None: it is another service, or a new account."""
        access = self._accesses.get(account.name)
        return access if access is not None and access.endpoint == account.endpoint else None

    def _share_limiters(self) -> None:
        """Give each account the limiter of its key and group."""
        key_ids = {name: access.access_key_id for name, access in self._accesses.items() if access.access_key_id}
        for name, limiter in self._limiters.regroup(tuple(self._accounts.values()), key_ids).items():
            self._accesses[name].requests.limiter = limiter

    def _key_found(self, access: Access) -> None:
        """Let accounts share a limiter that turn out to have one key."""
        account = self._accounts.get(access.account)
        if account is None or self._accesses[access.account] is not access or access.access_key_id is None:
            return
        if self._limiters.fetched(account, access.access_key_id):
            self._share_limiters()

    @staticmethod
    async def _give_up(opened: Mapping[str, Access], prepared: Mapping[str, Prepared]) -> None:
        """Close what was opened in vain."""
        for access in opened.values():
            await access.close()
        for other in prepared.values():
            await other.client.close()

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
