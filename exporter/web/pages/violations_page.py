"""`/violations`: findings by rule, app, severity, age and owner; `/rules`: rules and their totals."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any, Final

from exporter.web.api.violations_api import Finding, matching_findings
from exporter.web.lists import PAGE_ROWS, NumberedPage, ordered
from exporter.web.query import Query, known
from exporter.web.view import FindingsView, View

PARAMETERS: Final = known("outcome account app_id rule severity owner age page")
RULE_PARAMETERS: Final = known("text severity enabled")


async def shown_violations(view: View, query: Query, now: float) -> tuple[str, Mapping[str, Any]]:
    """Return the template and its values; `now` is a Unix time."""
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
    return "violations", {
        "page": await _page(counted, aged),
        "summaries": _summaries(counted, aged),
        "frozen": sorted(frozen),
        "unknown": sorted(without_data - frozen),
        "accounts": sorted({status.account for status in statuses}),
        "app_ids": sorted({status.app_id for status in statuses}),
        "rule_names": sorted({group.rule.name for group in groups}),
        "owners": _named(groups),
        "no_such": query.unknown_names(view),
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


async def _page(counts: Sequence[tuple[FindingsView, int]], query: Query) -> NumberedPage[Finding]:
    """Return a page of findings, by group and then the oldest first; only the groups on it are sorted."""
    matching = sum(count for _, count in counts)
    number = min(query.page, max(1, -(-matching // PAGE_ROWS)))
    first = (number - 1) * PAGE_ROWS
    rows: list[Finding] = []
    for group, count in counts:
        if first < count and len(rows) < PAGE_ROWS:
            found = await ordered(matching_findings(group, query), key=_oldest_first)
            rows += await found.rows(first, first + PAGE_ROWS - len(rows))
        first = max(0, first - count)
    return NumberedPage(rows, number, matching)


def _oldest_first(one: Finding) -> tuple[float, str]:
    return inf if one.since is None else one.since, one.task_id


def _summaries(counted: Iterable[tuple[FindingsView, int]], query: Query) -> Sequence[Mapping[str, Any]]:
    """Return the rules that have findings, the severest and most frequent first."""
    by_rule: dict[str, list[tuple[FindingsView, int]]] = {}
    for group, count in counted:
        if count:
            by_rule.setdefault(group.rule.name, []).append((group, count))
    rows = [_summary(found, query) for found in by_rule.values()]
    return sorted(rows, key=lambda row: (-row["rule"].severity.rank, -row["count"], row["rule"].name))


def _summary(found: Sequence[tuple[FindingsView, int]], query: Query) -> Mapping[str, Any]:
    groups = [group for group, _ in found]
    times = (at for group in groups for at in group.since.values())
    return {
        "rule": groups[0].rule,
        "apps": len(groups),
        "count": sum(count for _, count in found),
        "oldest": min(filter(query.matches_time, times) if query.by_time else times, default=None),
        "owners": _named(groups),  # of the rule, else of the apps
    }


def _named(groups: Iterable[FindingsView]) -> tuple[str, ...]:
    return tuple(sorted({group.owner for group in groups} - {""}))


async def shown_rules(view: View, query: Query, _now: float) -> tuple[str, Mapping[str, Any]]:
    """Return the template and its values: rules in force before others, the severest first."""
    rules = list(view.rules())
    return "rules", {
        "rules": sorted(
            filter(query.matches_rule, rules),
            key=lambda shown: (shown.why_off is not None, -shown.rule.severity.rank, shown.rule.name),
        ),
        "all_rules": len(rules),
    }
