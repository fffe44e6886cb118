"""`/violations`: findings by rule, app, severity, age and owner."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any, Final

from msgspec import Struct

from exporter.rules.rule import SEVERITIES, Rule
from exporter.web.api.violations_api import Finding
from exporter.web.lists import PAGE_ROWS, NumberedPage, ordered
from exporter.web.query import AGES, Query, known
from exporter.web.view import FindingDetail, FindingKind, FindingsView, View

PARAMETERS: Final = known("outcome account app_id rule severity owner age page")


class FindingRow(Struct, frozen=True):
    """A finding with its texts."""

    finding: Finding
    detail: FindingDetail


class RuleSummary(Struct, frozen=True):
    """Number of matching findings of one rule."""

    rule: Rule
    apps: int
    count: int
    oldest: float | None  # Unix time
    owners: tuple[str, ...]  # of the rule, else of the apps


async def shown_violations(view: View, query: Query, *, now: float) -> Mapping[str, Any]:
    """Return the template's values; `now` is a Unix time."""
    groups = list(view.findings(query.outcome))
    aged = query.aged(now)
    counted = [(group, await _count(group, aged)) for group in sorted(filter(query.matches_group, groups), key=_place)]
    frozen = {(group.account, group.app_id) for group in groups if not group.data_available}
    statuses = [app.status for app in view.statuses()]
    without_data = {
        (status.account, status.app_id)
        for status in statuses
        if not status.data_available and query.matches_app(status.account, status.app_id)
    }
    return {
        "query": query,
        "parameters": partial(query.parameters, PARAMETERS),
        "page": await _page(counted, aged),
        "summaries": _summaries(counted, aged),
        "frozen": sorted(frozen),
        "unknown": sorted(without_data - frozen),
        "outcomes": tuple(FindingKind),
        "accounts": sorted({status.account for status in statuses}),
        "app_ids": sorted({status.app_id for status in statuses}),
        "rule_names": sorted({group.rule.name for group in groups}),
        "severities": tuple(reversed(SEVERITIES)),
        "owners": _named(groups),
        "no_such": query.unknown_names(view),
        "ages": tuple(AGES),
    }


def _place(group: FindingsView) -> tuple[Any, ...]:
    """Order by severity, rule and app."""
    return -group.rule.severity.rank, group.rule.name, group.account, group.app_id


async def _count(group: FindingsView, query: Query) -> int:
    """Return how many findings of a group match by their age."""
    if not query.by_time:
        return group.count
    await asyncio.sleep(0)
    return sum(map(query.matches_time, group.since.values()))


async def _page(counted: Iterable[tuple[FindingsView, int]], query: Query) -> NumberedPage[FindingRow]:
    """Return a page of findings, by group and then the oldest first; only the groups on it are sorted."""
    counts = list(counted)
    matching = sum(count for _, count in counts)
    number = min(query.page, max(1, -(-matching // PAGE_ROWS)))
    first = (number - 1) * PAGE_ROWS
    rows: list[FindingRow] = []
    for group, count in counts:
        if first < count and len(rows) < PAGE_ROWS:
            last = first + PAGE_ROWS - len(rows)
            rows += [FindingRow(one, group.detail(one.task_id)) for one in await _findings(group, query, first, last)]
        first = max(0, first - count)
    return NumberedPage(rows, number, matching)


async def _findings(group: FindingsView, query: Query, first: int, last: int) -> Sequence[Finding]:
    """Return the findings of a group whose age matches, from one place to another, oldest first."""
    since = dict(group.since)

    def key(task_id: str) -> tuple[float, str]:
        return since.get(task_id, inf), task_id

    found = await ordered(
        tuple(group.task_ids()),
        key=key,
        wanted=(lambda task_id: query.matches_time(since.get(task_id))) if query.by_time else None,
    )
    return [Finding(group, task_id, since.get(task_id)) for task_id in await found.rows(first, last)]


def _summaries(counted: Iterable[tuple[FindingsView, int]], query: Query) -> Sequence[RuleSummary]:
    """Return the rules that have findings, the severest and most frequent first."""
    by_rule: dict[str, RuleSummary] = {}
    for group, count in counted:
        if count:
            times = filter(query.matches_time, group.since.values()) if query.by_time else group.since.values()
            oldest = min(times, default=None)
            one = RuleSummary(group.rule, apps=1, count=count, oldest=oldest, owners=_named([group]))
            before = by_rule.get(group.rule.name)
            by_rule[group.rule.name] = one if before is None else _together(before, one)
    return sorted(by_rule.values(), key=lambda each: (-each.rule.severity.rank, -each.count, each.rule.name))


def _together(one: RuleSummary, other: RuleSummary) -> RuleSummary:
    ages = [summary.oldest for summary in (one, other) if summary.oldest is not None]
    owners = tuple(sorted({*one.owners, *other.owners}))
    return RuleSummary(one.rule, one.apps + other.apps, one.count + other.count, min(ages, default=None), owners)


def _named(groups: Iterable[FindingsView]) -> tuple[str, ...]:
    return tuple(sorted({group.owner for group in groups} - {""}))
