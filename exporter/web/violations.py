"""`/api/v1/violations`: which of the findings are asked for, and how they are answered."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias

from msgspec import Struct

from exporter.policy.rule import Severity
from exporter.web.query import (
    DEFAULT_LIMIT,
    cursor_after,
    given_once,
    read_choice,
    read_cursor,
    read_limit,
    read_moment,
)
from exporter.web.view import FindingKind, FindingsView

_PARAMETERS: Final = (
    "account",
    "app_id",
    "rule",
    "severity",
    "task_id",
    "owner",
    "since",
    "outcome",
    "limit",
    "cursor",
)

_CHUNK: Final = 8192

_Found: TypeAlias = tuple[FindingsView, str]
"""A finding: its group and the TaskId."""


class ViolationsPage(Struct, frozen=True):
    """Some of the findings that are asked for."""

    items: Iterator[Mapping[str, Any]]
    """Each is made when its turn comes, since messages take their time."""
    matching: int
    """How many there are on all pages."""
    next_cursor: str | None
    """Where the next page begins; None: this is the last one."""


class ViolationsQuery(Struct, frozen=True):
    """Which findings are asked for; None: whatever it is."""

    account: str | None = None
    app_id: str | None = None
    rule: str | None = None
    severity: str | None = None
    task_id: str | None = None
    owner: str | None = None
    """Of the rule."""
    since: float = -math.inf
    """Wall-clock seconds: only what is seen since then, or since later."""
    outcome: FindingKind = FindingKind.VIOLATION
    limit: int = DEFAULT_LIMIT
    after: tuple[str, ...] = ()
    """Account, AppId, rule and TaskId of the last one that was shown on the page before."""

    def asks_for(self, findings: FindingsView) -> bool:
        """Whether any of a group of findings may be asked for."""
        rule = findings.rule
        return (
            self.account in {None, findings.account}
            and self.app_id in {None, findings.app_id}
            and self.rule in {None, rule.name}
            and self.severity in {None, rule.severity}
            and self.owner in {None, rule.owner}
        )

    @property
    def narrows_tasks(self) -> bool:
        """Whether of a group that is asked for only some tasks are."""
        return self.task_id is not None or self.since > -math.inf

    def tasks_of(self, findings: FindingsView) -> Collection[str]:
        """Return the TaskIds of a group that are asked for, whatever the page, in any order."""
        if self.task_id is not None:
            return [task_id for task_id in [self.task_id] if self._asks_for_task(findings, task_id)]
        if self.narrows_tasks:
            return [task_id for task_id, seen in findings.since.items() if seen >= self.since]
        return findings.task_ids()

    def first_unseen(self, findings: FindingsView, task_ids: Collection[str], count: int) -> Sequence[str]:
        """Return at most `count` of a group's TaskIds, in order, that no page before has shown."""
        if _group_names(findings) == self.after[:-1]:
            last = self.after[-1]
            task_ids = [task_id for task_id in task_ids if task_id > last]
        return smallest(count, task_ids)

    def _asks_for_task(self, findings: FindingsView, task_id: str) -> bool:
        seen = findings.since.get(task_id, -math.inf)
        return seen >= self.since and task_id in findings.task_ids()


def read_violations_query(parameters: Iterable[tuple[str, str]]) -> ViolationsQuery:
    """Read the parameters of a URL.

    Raises:
        BadQueryError: One is unknown, given twice, empty, or not what it has to be.
    """
    given = given_once(parameters, _PARAMETERS)
    return ViolationsQuery(
        account=given.get("account"),
        app_id=given.get("app_id"),
        rule=given.get("rule"),
        severity=read_choice(given, "severity", Severity),
        task_id=given.get("task_id"),
        owner=given.get("owner"),
        since=read_moment(given, "since"),
        outcome=FindingKind(read_choice(given, "outcome", FindingKind) or FindingKind.VIOLATION),
        limit=read_limit(given),
        after=read_cursor(given, names=4) or (),
    )


def violations_page(groups: Iterable[FindingsView], query: ViolationsQuery) -> ViolationsPage:
    """Return a page of findings.

    They stand in the order of account, AppId, rule and TaskId, whatever comes and goes between two pages.
    """
    found: list[_Found] = []
    matching = 0
    for findings in sorted(filter(query.asks_for, groups), key=_group_names):
        missing = query.limit + 1 - len(found)
        is_on_page = missing > 0 and _group_names(findings) >= query.after[:-1]
        task_ids = query.tasks_of(findings) if is_on_page or query.narrows_tasks else ()
        matching += len(task_ids) if query.narrows_tasks else findings.count
        if is_on_page:
            found += [(findings, task_id) for task_id in query.first_unseen(findings, task_ids, missing)]
    page = found[: query.limit]
    # Ages are read now: a finding may be gone when its item is made.
    aged = [(findings, task_id, findings.since.get(task_id)) for findings, task_id in page]
    return ViolationsPage(
        items=(_violation(findings, task_id, since) for findings, task_id, since in aged),
        matching=matching,
        next_cursor=_cursor(page[-1]) if len(found) > len(page) else None,
    )


def smallest(count: int, texts: Iterable[str]) -> Sequence[str]:
    """Return the `count` smallest of many texts, in order.

    Texts that come in falling order, as the newest tasks first, cost no more than others: a heap would be rebuilt
    by each of them.
    """
    best: list[str] = []
    rest = iter(texts)
    while chunk := list(islice(rest, _CHUNK)):
        if len(best) == count:
            largest = best[-1]
            chunk = [text for text in chunk if text < largest]
        best = sorted(best + chunk)[:count]
    return best


def _group_names(findings: FindingsView) -> tuple[str, ...]:
    return findings.account, findings.app_id, findings.rule.name


def _cursor(last: _Found) -> str:
    findings, task_id = last
    return cursor_after(*_group_names(findings), task_id)


def _violation(findings: FindingsView, task_id: str, since: float | None) -> Mapping[str, Any]:
    rule, detail = findings.rule, findings.detail(task_id)
    return {
        "account": findings.account,
        "app_id": findings.app_id,
        "task_id": task_id or None,
        "rule": rule.name,
        "severity": rule.severity,
        "title": rule.title,
        "owner": rule.owner,
        "runbook_url": rule.runbook_url,
        "message": detail.message,
        "since_timestamp_seconds": since,
        "exemption": detail.exemption,
        "reason": detail.reason,
        "data_available": findings.data_available,
    }
