"""Which accounts share one limiter, since the service counts their requests together."""

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from exporter.config.credentials import AccessKey
from exporter.config.model import Account

_NONE_KNOWN: Final[Mapping[str, str]] = MappingProxyType({})


def limiter_groups(
    accounts: Sequence[Account], key_ids: Mapping[str, str] = _NONE_KNOWN
) -> tuple[tuple[Account, ...], ...]:
    """Return the accounts in groups that share one limiter, in the order of their first.

    Accounts belong together that have one `limit_group`, or the same endpoint and key: the same access key
    id, or for keys that are fetched, credentials that are configured alike.

    Args:
        accounts: All of a configuration.
        key_ids: The access key ids that were fetched so far, by the accounts' names.
    """
    groups: list[tuple[set[Hashable], list[Account]]] = []
    for account in accounts:
        marks = limiter_marks(account, key_ids.get(account.name))
        members = [account]
        apart = []
        for group in groups:
            if group[0].isdisjoint(marks):
                apart.append(group)
            else:
                marks |= group[0]
                members = group[1] + members
        groups = [*apart, (marks, members)]
    order = {account.name: place for place, account in enumerate(accounts)}
    ordered = (sorted(members, key=lambda account: order[account.name]) for _, members in groups)
    return tuple(sorted(map(tuple, ordered), key=lambda members: order[members[0].name]))


def limiter_marks(account: Account, key_id: str | None) -> set[Hashable]:
    """Return what another account must share to be in the same group; the name is no part of it."""
    credentials = account.credentials
    key = credentials.access_key_id if isinstance(credentials, AccessKey) else credentials
    marks: set[Hashable] = {("key", account.endpoint, key)}
    if key_id is not None:
        marks.add(("key", account.endpoint, key_id))
    if account.limit_group is not None:
        marks.add(("group", account.limit_group))
    return marks
