"""The limiters of all accounts: carried over by key and group from one configuration to the next, not by name."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from msgspec import Struct

from exporter.collector.rate_limiter import Limiter
from exporter.config.capacity import limiter_groups, limiter_marks
from exporter.config.model import Account
from exporter.core.clock import Clock


class _Sharing(Struct, eq=False):
    """Accounts that share one limiter."""

    limiter: Limiter
    marks: set[Hashable]  # what accounts must share to belong to it
    entries: frozenset[tuple[str, str]]  # names and endpoints
    fetched: dict[str, Hashable]  # the marks of keys that were fetched since, by the accounts' names

    def has(self, mark: Hashable) -> bool:
        """Whether an account with this mark belongs here."""
        return mark in self.marks or mark in self.fetched.values()


class LimiterPool:
    """Which limiter each account has.

    No request is forgotten when groups change: what takes the place of other limiters counts all that they let go
    in the last second or that is still in flight. A limiter that replaces none begins with a window without
    requests, since the process before this one may have used its budget up to its end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._groups: list[_Sharing] = []

    def regroup(self, accounts: Sequence[Account], key_ids: Mapping[str, str]) -> dict[str, Limiter]:
        """Apply another configuration, in one step that can't fail; return each account's limiter, by its name.

        Args:
            accounts: All of the configuration.
            key_ids: The access key ids that were fetched so far, by the accounts' names.
        """
        planned = [self._planned(members, key_ids) for members in limiter_groups(accounts, key_ids)]
        claims = Counter(old for _, _, parents in planned for old in parents)
        before, self._groups = self._groups, []
        for members, marks, parents in planned:
            rate = min(account.requests_per_second for account in members)
            if len(parents) == 1 and claims[parents[0]] == 1:
                limiter = parents[0].limiter
                limiter.set_rate(rate)
            else:
                limiter = Limiter(rate, clock=self._clock)
                for old in parents:
                    old.limiter.hand_over(limiter)
                if not parents:
                    limiter.wait_a_window()
            entries = frozenset((account.name, account.endpoint) for account in members)
            self._groups.append(_Sharing(limiter, marks, entries, {}))
        kept = {group.limiter for group in self._groups}
        for old in before:
            if old.limiter not in kept and claims[old]:
                old.limiter.send_away()
        return {name: group.limiter for group in self._groups for name, _ in group.entries}

    def fetched(self, account: Account, key_id: str) -> bool:
        """Take in whose key an account has; return whether groups have to be made again for it."""
        mark = ("key", account.endpoint, key_id)
        own = next(group for group in self._groups if (account.name, account.endpoint) in group.entries)
        own.fetched[account.name] = mark
        return any(group.has(mark) for group in self._groups if group is not own)

    def _planned(
        self, members: tuple[Account, ...], key_ids: Mapping[str, str]
    ) -> tuple[tuple[Account, ...], set[Hashable], list[_Sharing]]:
        """Return a group, its marks, and those that it takes the place of: by marks, or for a rotated key by name."""
        marks = set[Hashable]().union(*(limiter_marks(account, key_ids.get(account.name)) for account in members))
        parents = [old for old in self._groups if any(old.has(mark) for mark in marks)]
        if not parents:
            entries = {(account.name, account.endpoint) for account in members}
            parents = [old for old in self._groups if not entries.isdisjoint(old.entries)]
        return members, marks, parents
