"""`/violations`: findings by rule, app, severity, age and owner."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from math import inf
from typing import Any, Final

from msgspec import Struct

from exporter.rules.rule import SEVERITIES, Rule
from exporter.web.lists import numbered_page, ordered, slices
from exporter.web.query import ACCOUNT, AGE, AGES, APP_ID, OUTCOME, OWNER, PAGE, RULE, SEVERITY, Query
from exporter.web.view import FindingDetail, FindingKind, FindingsView, View

PARAMETERS: Final = (OUTCOME, ACCOUNT, APP_ID, RULE, SEVERITY, OWNER, AGE, PAGE)


class Finding(Struct, frozen=True, gc=False):
    """A finding before its texts are made."""

    group: FindingsView
    task_id: str  # empty for a finding about the whole app
    since: float | None


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
    found = [(group, await _findings(group, aged)) for group in filter(query.matches_group, groups)]
    findings = await ordered(chain.from_iterable(of_group for _, of_group in found), key=_place)
    frozen = {(group.account, group.app_id) for group in groups if not group.data_available}
    without_data = {
        (app.status.account, app.status.app_id)
        for app in view.statuses()
        if not app.status.data_available and query.matches_app(app.status.account, app.status.app_id)
    }
    return {
        "query": query,
        "parameters": partial(query.parameters, PARAMETERS),
        "page": await numbered_page(
            findings, query.page, lambda finding: FindingRow(finding, finding.group.detail(finding.task_id))
        ),
        "summaries": _summaries(found),
        "frozen": sorted(frozen),
        "unknown": sorted(without_data - frozen),
        "outcomes": tuple(FindingKind),
        "accounts": sorted({app.status.account for app in view.statuses()}),
        "app_ids": sorted({app.status.app_id for app in view.statuses()}),
        "rule_names": sorted({group.rule.name for group in groups}),
        "severities": tuple(reversed(SEVERITIES)),
        "owners": _named(groups),
        "no_such": query.unknown_names(view),
        "ages": tuple(AGES),
    }


async def _findings(group: FindingsView, query: Query) -> Sequence[Finding]:
    """Return the findings of a group whose age matches."""
    since, task_ids = dict(group.since), tuple(group.task_ids())
    findings: list[Finding] = []
    for part in slices(task_ids):
        aged = [Finding(group, task_id, since.get(task_id)) for task_id in part]
        findings += filter(lambda finding: query.matches_time(finding.since), aged) if query.by_time else aged
        await asyncio.sleep(0)
    return findings


def _place(finding: Finding) -> tuple[Any, ...]:
    """Order by severity, rule, app and age, oldest first."""
    rule = finding.group.rule
    since = inf if finding.since is None else finding.since
    return -rule.severity.rank, rule.name, finding.group.account, finding.group.app_id, since, finding.task_id


def _summaries(found: Iterable[tuple[FindingsView, Sequence[Finding]]]) -> Sequence[RuleSummary]:
    """Return the rules that have findings, the severest and most frequent first."""
    by_rule: dict[str, RuleSummary] = {}
    for group, findings in found:
        if findings:
            oldest = min((finding.since for finding in findings if finding.since is not None), default=None)
            one = RuleSummary(group.rule, apps=1, count=len(findings), oldest=oldest, owners=_named([group]))
            before = by_rule.get(group.rule.name)
            by_rule[group.rule.name] = one if before is None else _together(before, one)
    return sorted(by_rule.values(), key=lambda each: (-each.rule.severity.rank, -each.count, each.rule.name))


def _together(one: RuleSummary, other: RuleSummary) -> RuleSummary:
    ages = [summary.oldest for summary in (one, other) if summary.oldest is not None]
    owners = tuple(sorted({*one.owners, *other.owners}))
    return RuleSummary(one.rule, one.apps + other.apps, one.count + other.count, min(ages, default=None), owners)


def _named(groups: Iterable[FindingsView]) -> tuple[str, ...]:
    return tuple(sorted({group.owner for group in groups} - {""}))
