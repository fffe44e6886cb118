"""`/violations`: findings by rule, app, severity, age and owner."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import inf
from typing import Any, Final

from msgspec import Struct

from exporter.collect.status import Status
from exporter.policy.rule import SEVERITIES, Rule
from exporter.web.known_names import unknown_names
from exporter.web.pages.paging import Page, chunks, page_of
from exporter.web.pages.parameters import read_choice, read_page, read_text
from exporter.web.view import FindingDetail, FindingKind, FindingsView, View

AGES: Final = {
    "under-1h": (0.0, 3600.0),
    "over-1h": (3600.0, inf),
    "over-1d": (86400.0, inf),
    "over-7d": (7 * 86400.0, inf),
}
"""From and to how many seconds ago a violation was first seen."""


class ViolationsQuery(Struct, frozen=True):
    """Which findings are asked for; an empty text: whatever it is."""

    outcome: FindingKind = FindingKind.VIOLATION
    account: str = ""
    app_id: str = ""
    rule: str = ""
    severity: str = ""
    owner: str = ""
    """Of the rule, else of the app."""
    age: str = ""
    """One of `AGES`."""
    page: int = 1

    def parameters(self, **changes: str) -> Mapping[str, str]:
        """Return the parameters that ask for it, with changes; a change begins at the first page."""
        plain = {
            "outcome": "" if self.outcome is FindingKind.VIOLATION else str(self.outcome),
            "account": self.account,
            "app_id": self.app_id,
            "rule": self.rule,
            "severity": self.severity,
            "owner": self.owner,
            "age": self.age,
        }
        return plain | changes

    def asks_for_app(self, status: Status) -> bool:
        """Whether findings of an app may be asked for."""
        return self.account in {"", status.account} and self.app_id in {"", status.app_id}

    def asks_for(self, group: FindingsView) -> bool:
        """Whether any of a group of findings may be asked for."""
        return (
            self.account in {"", group.account}
            and self.app_id in {"", group.app_id}
            and self.rule in {"", group.rule.name}
            and self.severity in {"", group.rule.severity}
            and self.owner in {"", group.owner}
        )


class Finding(Struct, frozen=True, gc=False):
    """One of the findings, before what costs much is made."""

    group: FindingsView
    task_id: str
    """Empty for a finding about the app as a whole."""
    since: float | None


class FindingRow(Struct, frozen=True):
    """One of the findings as it is shown."""

    finding: Finding
    detail: FindingDetail


class RuleSummary(Struct, frozen=True):
    """How many findings one rule has among those that are asked for."""

    rule: Rule
    apps: int
    count: int
    oldest: float | None
    """Wall-clock seconds."""
    owners: tuple[str, ...]
    """Those of the rule, else of the apps, each once."""


def read_violations_query(query: Mapping[str, str]) -> ViolationsQuery:
    """Read the parameters of a URL.

    Raises:
        BadQueryError: One is not what it has to be.
    """
    return ViolationsQuery(
        outcome=FindingKind(read_choice(query, "outcome", FindingKind) or FindingKind.VIOLATION),
        account=read_text(query, "account"),
        app_id=read_text(query, "app_id"),
        rule=read_text(query, "rule"),
        severity=read_choice(query, "severity", SEVERITIES),
        owner=read_text(query, "owner"),
        age=read_choice(query, "age", AGES),
        page=read_page(query),
    )


async def shown_violations(view: View, query: ViolationsQuery, *, now: float) -> Mapping[str, Any]:
    """Return what the template is given; `now` is wall-clock seconds."""
    groups = list(view.findings(query.outcome))
    found = [(group, await _findings(group, query.age, now)) for group in filter(query.asks_for, groups)]
    findings = list(chain.from_iterable(of_group for _, of_group in found))
    page = await page_of(findings, query.page, key=_place)
    rows = [FindingRow(finding, finding.group.detail(finding.task_id)) for finding in page.rows]
    frozen = {(group.account, group.app_id) for group in groups if not group.data_available}
    without_data = {
        (app.status.account, app.status.app_id)
        for app in view.statuses()
        if not app.status.data_available and query.asks_for_app(app.status)
    }
    return {
        "query": query,
        "page": Page[FindingRow](rows, page.number, page.matching, page.page_rows),
        "summaries": _summaries(found),
        "frozen": sorted(frozen),
        "unknown": sorted(without_data - frozen),
        "outcomes": tuple(FindingKind),
        "accounts": sorted({app.status.account for app in view.statuses()}),
        "app_ids": sorted({app.status.app_id for app in view.statuses()}),
        "rule_names": sorted({group.rule.name for group in groups}),
        "severities": tuple(reversed(SEVERITIES)),
        "owners": _named(groups),
        "no_such": unknown_names(view, account=query.account, app_id=query.app_id, rule=query.rule, owner=query.owner),
        "ages": tuple(AGES),
    }


async def _findings(group: FindingsView, age: str, now: float) -> Sequence[Finding]:
    """Return the findings of a group that have an age; one whose age is not known has none."""
    since, task_ids = dict(group.since), tuple(group.task_ids())
    least, most = AGES.get(age, (-inf, inf))
    findings: list[Finding] = []
    for chunk in chunks(task_ids):
        aged = [Finding(group, task_id, since.get(task_id)) for task_id in chunk]
        findings += [one for one in aged if not age or (one.since is not None and least <= now - one.since < most)]
        await asyncio.sleep(0)
    return findings


def _place(finding: Finding) -> tuple[Any, ...]:
    """Order by severity, rule and app; the oldest stands first."""
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
    """Add up what is said of one rule in different apps."""
    ages = [summary.oldest for summary in (one, other) if summary.oldest is not None]
    owners = tuple(sorted({*one.owners, *other.owners}))
    return RuleSummary(one.rule, one.apps + other.apps, one.count + other.count, min(ages, default=None), owners)


def _named(groups: Iterable[FindingsView]) -> tuple[str, ...]:
    """Return the owners of some findings, each once."""
    return tuple(sorted({group.owner for group in groups} - {""}))
