"""`/api/v1/violations`: findings of rules."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, TypeAlias, TypedDict

from msgspec import Struct

from exporter.collect.status import Status
from exporter.policy.rule import Severity
from exporter.web.api.apps_api import AppWithoutDataDocument, apps_without_data
from exporter.web.api.parameters import (
    ACCOUNT,
    APP_ID,
    CURSOR,
    DEFAULT_LIMIT,
    LIMIT,
    OWNER,
    RULE,
    SEVERITY,
    SINCE,
    TASK_ID,
    choice,
)
from exporter.web.api.query import cursor_after, given_once, read_choice, read_cursor, read_limit, read_moment
from exporter.web.api.smallest import smallest
from exporter.web.responses import Page, about
from exporter.web.view import FindingKind, FindingsView

PARAMETERS: Final = (
    ACCOUNT,
    APP_ID,
    RULE,
    SEVERITY,
    TASK_ID,
    OWNER,
    SINCE,
    choice("outcome", "What there is to say about a task; violations without a word.", FindingKind),
    LIMIT,
    CURSOR,
)

_Found: TypeAlias = tuple[FindingsView, str]
"""A finding: its group and the TaskId."""


class ViolationDocument(TypedDict):
    """What one rule has found about one task."""

    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    task_id: Annotated[str | None, about("The TaskId; null: it is about the app as a whole.")]
    rule: Annotated[str, about("The rule's name.")]
    severity: Annotated[Severity, about("The rule's severity.")]
    title: Annotated[str, about("What the rule expects, in a few words.")]
    owner: Annotated[str, about("The rule's owner, else the app's; empty where nobody is named.")]
    runbook_url: Annotated[str, about("Where to read what to do; empty where nothing is given.")]
    message: Annotated[str | None, about("What is wrong, in one line.")]
    since_timestamp_seconds: Annotated[
        float | None, about("Since when it is seen, in seconds since 1970; null where that is not known.")
    ]
    exemption: Annotated[str | None, about("The name of the exemption, of an exempted one.")]
    reason: Annotated[str | None, about("Why the rule can't be evaluated, of an unevaluable one.")]
    data_available: Annotated[bool, about("False: frozen, as of the last good data.")]


class ViolationsDocument(TypedDict):
    """A page of findings, in the order of account, AppId, rule and TaskId."""

    violations: Annotated[list[ViolationDocument], about("The findings.")]
    matching: Annotated[int, about("How many there are on all pages.")]
    apps_without_data: Annotated[
        list[AppWithoutDataDocument],
        about("Apps that are asked for of which nothing is found now: what is shown of them is frozen."),
    ]
    next_cursor: Annotated[str | None, about("Where the next page begins; null: this is the last one.")]


class ViolationsQuery(Struct, frozen=True):
    """Which findings are asked for; None: whatever it is."""

    account: str | None = None
    app_id: str | None = None
    rule: str | None = None
    severity: str | None = None
    task_id: str | None = None
    owner: str | None = None
    """Of the rule, else of the app."""
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
            and self.owner in {None, findings.owner}
        )

    def asks_for_app(self, status: Status) -> bool:
        """Whether findings of an app may be asked for."""
        return self.account in {None, status.account} and self.app_id in {None, status.app_id}

    @property
    def narrows_tasks(self) -> bool:
        """Whether of a group that is asked for only some tasks are."""
        return self.task_id is not None or self.asks_for_time

    @property
    def asks_for_time(self) -> bool:
        """Whether only findings are asked for of which the time is known."""
        return self.since > -math.inf

    def tasks_of(self, findings: FindingsView) -> Sequence[str]:
        """Return a copy of the TaskIds of a group that are asked for, whatever the page, in any order."""
        if self.task_id is not None:
            return [task_id for task_id in [self.task_id] if self._asks_for_task(findings, task_id)]
        if self.asks_for_time:
            return [task_id for task_id, seen in findings.since.items() if seen >= self.since]
        return list(findings.task_ids())

    async def first_unseen(self, findings: FindingsView, task_ids: Sequence[str], count: int) -> Sequence[str]:
        """Return at most `count` of a group's TaskIds, in order, that no page before has shown."""
        last = self.after[-1] if _group_names(findings) == self.after[:-1] else None

        def unseen(some: Sequence[str]) -> list[str]:
            return [task_id for task_id in some if last is None or task_id > last]

        return await smallest(count, task_ids, key=str, chosen=unseen)

    def _asks_for_task(self, findings: FindingsView, task_id: str) -> bool:
        seen = findings.since.get(task_id, -math.inf)
        return seen >= self.since and task_id in findings.task_ids()


def read_violations_query(parameters: Iterable[tuple[str, str]]) -> ViolationsQuery:
    """Read the parameters of a URL.

    Raises:
        BadQueryError: One is unknown, given twice, empty, or not what it has to be.
    """
    given = given_once(parameters, PARAMETERS)
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


async def violations_page(
    groups: Iterable[FindingsView], query: ViolationsQuery, statuses: Iterable[Status]
) -> Page[ViolationDocument]:
    """Return a page of findings, how many there are on all pages, and of which apps none can be known.

    They stand in the order of account, AppId, rule and TaskId, whatever comes and goes between two pages.

    Args:
        groups: All findings of the outcome that is asked for.
        query: Which of them.
        statuses: How it stands with each app.
    """
    on_page: list[tuple[FindingsView, Sequence[str]]] = []
    matching = 0
    sure = 0
    """How many of those on the page or behind it are known to be unseen."""
    for findings in sorted(filter(query.asks_for, groups), key=_group_names):
        may_be_on_page = sure <= query.limit and _group_names(findings) >= query.after[:-1]
        task_ids = query.tasks_of(findings) if may_be_on_page or query.narrows_tasks else ()
        matching += len(task_ids) if query.narrows_tasks else findings.count
        if may_be_on_page:
            on_page.append((findings, task_ids))
            sure += 0 if _group_names(findings) == query.after[:-1] else len(task_ids)
        if query.asks_for_time:
            # Only then can the rest wait: times stay what they are, other lists are those of this moment.
            await asyncio.sleep(0)
    found: list[_Found] = []
    for findings, task_ids in on_page:
        missing = query.limit + 1 - len(found)
        if not missing:
            break
        found += [(findings, task_id) for task_id in await query.first_unseen(findings, task_ids, missing)]
    page = found[: query.limit]
    # Ages are read now: a finding may be gone when its item is made.
    aged = [(findings, task_id, findings.since.get(task_id)) for findings, task_id in page]
    return Page(
        name="violations",
        items=(_violation(findings, task_id, since) for findings, task_id, since in aged),
        next_cursor=_cursor(page[-1]) if len(found) > len(page) else None,
        cursor_of=lambda item: cursor_after(item["account"], item["app_id"], item["rule"], item["task_id"] or ""),
        also={
            "matching": matching,
            "apps_without_data": apps_without_data(filter(query.asks_for_app, statuses)),
        },
    )


def _group_names(findings: FindingsView) -> tuple[str, ...]:
    return findings.account, findings.app_id, findings.rule.name


def _cursor(last: _Found) -> str:
    findings, task_id = last
    return cursor_after(*_group_names(findings), task_id)


def _violation(findings: FindingsView, task_id: str, since: float | None) -> ViolationDocument:
    rule, detail = findings.rule, findings.detail(task_id)
    return {
        "account": findings.account,
        "app_id": findings.app_id,
        "task_id": task_id or None,
        "rule": rule.name,
        "severity": rule.severity,
        "title": rule.title,
        "owner": findings.owner,
        "runbook_url": rule.runbook_url,
        "message": detail.message,
        "since_timestamp_seconds": since,
        "exemption": detail.exemption,
        "reason": detail.reason,
        "data_available": findings.data_available,
    }
