"""Whether a budget of requests suffices, and how far the intervals are stretched where it does not."""

import math
from collections.abc import Hashable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct

from exporter.config.model import LEAST_STALE_AFTER_SWEEPS, AccessKey, Account, App, Buckets, Collection, Config

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


def limiter_groups(accounts: Sequence[Account], key_ids: Mapping[str, str] = _NONE) -> tuple[tuple[Account, ...], ...]:
    """Return the accounts in groups that share a limiter; `key_ids` has the ids of fetched keys by account."""
    groups: list[tuple[set[Hashable], list[Account]]] = []
    for account in accounts:
        marks = limiter_marks(account, key_ids.get(account.name))
        joined = [group for group in groups if not group[0].isdisjoint(marks)]
        groups = [group for group in groups if group not in joined]
        groups.append((marks.union(*(of for of, _ in joined)), [*chain(*(members for _, members in joined)), account]))
    order = {account.name: place for place, account in enumerate(accounts)}
    ordered = (sorted(members, key=lambda account: order[account.name]) for _, members in groups)
    return tuple(sorted(map(tuple, ordered), key=lambda members: order[members[0].name]))


def budgets_by_name(accounts: Sequence[Account]) -> Mapping[str, Sequence[str]]:
    """Return the names of the accounts of each limiter, by a name (not a key) on which exporters agree."""
    budgets = {}
    for group in limiter_groups(accounts):
        names = sorted(account.name for account in group)
        shared = sorted(account.limit_group for account in group if account.limit_group is not None)
        budgets[f"group {shared[0]}" if shared else f"account {names[0]}"] = names
    return budgets


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


PAGE_SIZE: Final = 100  # tasks on a page: the most that the service gives
NEW_ROWS: Final = 85
"""Of those on a page, in the mean of a long list: pages overlap, since the list moves while it is read."""
USABLE_SHARE: Final = 0.9  # of the budget; the rest is for look-ups and retries
STANDARD_QUOTA: Final = 200 + 40
"""Single and mixed tasks that the vendor allows an app unless agreed otherwise: an assumption, never published."""

SERIES_OF_AN_APP: Final = 205
"""Of an app on `/metrics` without rules and distributions: its collection, changes, counts of tasks."""
SERIES_OF_A_RULE: Final = 5  # for each app that the rule applies to; violations beyond a few have more
PLACES: Final = 4
"""Pairs of region and mode among an app's tasks: each has a series for each bucket, and two more, of a distribution."""


class GroupLoad(Struct, frozen=True):
    """How fast a group of apps is read with one budget."""

    update_requests_per_second: float  # what the configured intervals need, as the next two
    sweep_requests_per_second: float
    use_ratio: float  # of the whole budget; above 0.9 the intervals are stretched
    stretch_ratio: float  # 1 where the budget suffices
    interval_seconds: float  # Effective, as the next two
    sweep_interval_seconds: float
    stale_after_seconds: float
    sweep_duration_seconds: float  # how long one sweep of all apps takes with what the updates leave


class Forecast(Struct, frozen=True):
    """What is to be expected of the accounts that share one limiter."""

    accounts: tuple[str, ...]
    apps: int
    tasks: int  # known ones, or for an app without a known number its quota
    pages: int  # of all apps. A sweep takes one or two requests more for each app.
    requests_per_second: float  # the budget
    pace: GroupLoad


def pages_of(tasks: int) -> int:
    """Return how many pages are read to see `tasks` tasks and the short page that ends them."""
    return 1 + math.ceil(max(0, tasks + 1 - PAGE_SIZE) / NEW_ROWS)


def sweep_requests_of(tasks: int) -> int:
    """Return how many requests a sweep takes: pages, the end probed, the front read again."""
    pages = pages_of(tasks)
    return pages + (1 if pages == 1 else 2)


def pace_of(*, apps: int, sweep_requests: int, requests_per_second: float, collection: Collection) -> GroupLoad:
    """Return the pace at which apps can be read: an update is one request, a sweep of all `sweep_requests`."""
    updates = apps / collection.interval_seconds
    sweeps = sweep_requests / collection.sweep_interval_seconds
    usable = USABLE_SHARE * requests_per_second
    ratio = max(1.0, (updates + sweeps) / usable)
    sweep_interval = ratio * collection.sweep_interval_seconds
    return GroupLoad(
        update_requests_per_second=updates,
        sweep_requests_per_second=sweeps,
        use_ratio=(updates + sweeps) / requests_per_second,
        stretch_ratio=ratio,
        interval_seconds=ratio * collection.interval_seconds,
        sweep_interval_seconds=sweep_interval,
        stale_after_seconds=max(collection.stale_after_seconds, LEAST_STALE_AFTER_SWEEPS * sweep_interval),
        sweep_duration_seconds=sweep_requests / (usable - updates / ratio) if sweep_requests else 0.0,
    )


def series_of_app(*, rules: int, buckets: Buckets) -> int:
    """Return about how many series an app has on `/metrics`, whatever the number of its tasks."""
    bounds = [getattr(buckets, name) for name in Buckets.model_fields]
    distributions = sum(len(each) + 3 for each in bounds)
    return SERIES_OF_AN_APP + SERIES_OF_A_RULE * rules + PLACES * distributions


def assumed_tasks(app: App) -> int:
    """Return how many tasks an app has at its quota, or at the vendor's usual one where none is configured."""
    known = [quota for quota in (app.quota.single, app.quota.mixed) if quota is not None]
    return max(sum(known), STANDARD_QUOTA) if len(known) < 2 else sum(known)


def forecast(
    config: Config, known: Mapping[tuple[str, str], int] = MappingProxyType({}), rates: Mapping[str, float] = _NONE
) -> tuple[Forecast, ...]:
    """Return the forecast of each limiter; apps not in `known` are at their quota, `rates` go before settings."""
    found = []
    for group in limiter_groups(config.accounts):
        budget = min(rates.get(account.name, account.requests_per_second) for account in group)
        tasks = [known.get((account.name, app.id), assumed_tasks(app)) for account in group for app in account.apps]
        requests = sum(map(sweep_requests_of, tasks))
        found.append(
            Forecast(
                accounts=tuple(account.name for account in group),
                apps=len(tasks),
                tasks=sum(tasks),
                pages=sum(map(pages_of, tasks)),
                requests_per_second=budget,
                pace=pace_of(
                    apps=len(tasks), sweep_requests=requests, requests_per_second=budget, collection=config.collection
                ),
            )
        )
    return tuple(found)
