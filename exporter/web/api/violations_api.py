"""`/api/v1/violations`: findings of rules."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collector.past import PastViolation
from exporter.collector.status import Status
from exporter.rules.rule import Rule, Severity
from exporter.web.api.apps_api import AppWithoutDataDocument, apps_without_data
from exporter.web.lists import Listing, ordered
from exporter.web.query import (
    ACCOUNT,
    APP_ID,
    FORMAT,
    LIMIT,
    OUTCOME,
    OWNER,
    RULE,
    SEVERITY,
    SINCE,
    STATE,
    TASK_ID,
    UNTIL,
    BadQueryError,
    Query,
    cursor,
    cursor_after,
)
from exporter.web.responses import about, document_of
from exporter.web.view import FindingsView, View

PARAMETERS: Final = (
    ACCOUNT,
    APP_ID,
    RULE,
    SEVERITY,
    TASK_ID,
    OWNER,
    SINCE,
    UNTIL,
    OUTCOME,
    STATE,
    FORMAT,
    LIMIT,
    cursor(4),
)

_Found: TypeAlias = tuple[FindingsView, str]  # a group of findings and a TaskId


class ViolationDocument(Struct, kw_only=True):
    """One finding of a rule."""

    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    task_id: Annotated[str | None, about("The TaskId; null: it is about the app as a whole.")]
    rule: Annotated[str, about("The rule's name.")]
    severity: Annotated[Severity, about("The rule's severity.")]
    title: Annotated[str, about("What the rule expects, in short.")]
    owner: Annotated[str, about("The rule's owner, else the app's; may be empty.")]
    runbook_url: Annotated[str, about("URL of its runbook; may be empty.")]
    message: Annotated[str | None, about("What is wrong, in one line.")]
    since: Annotated[
        float | None, about("Since when it is seen, in seconds since 1970; null where that is not known.")
    ] = field(name="since_timestamp_seconds")
    resolved: Annotated[float | None, about("When it ended, in seconds since 1970; null while it is open.")] = field(
        name="resolved_timestamp_seconds"
    )
    why: Annotated[str | None, about("Why it ended.")]
    number: Annotated[int | None, about("Of one that has ended; rises with each violation.")]
    exemption: Annotated[str | None, about("The name of the exemption, of an exempted one.")]
    reason: Annotated[str | None, about("Why the rule can't be evaluated, of an unevaluable one.")]
    data_available: Annotated[bool, about("False: frozen, as of the last good data.")]


class ViolationsDocument(Struct, kw_only=True):
    """A page of findings, in the order of account, AppId, rule and TaskId."""

    violations: Annotated[list[ViolationDocument], about("The findings.")]
    matching: Annotated[int | None, about("Number of findings on all pages; null of those that have ended.")]
    apps_without_data: Annotated[
        list[AppWithoutDataDocument],
        about("Matching apps without current data, whose findings are frozen."),
    ]
    next_cursor: Annotated[str | None, about("Where the next page begins; null: this is the last one.")]


async def all_findings(view: View, query: Query, _now: float) -> Listing:
    """Return a page of the findings of one outcome."""
    if query.state == "resolved":
        return await resolved_listing(view, query)
    query.require_known(view)
    statuses = [app.status for app in view.statuses()]
    return await violations_listing(view.findings(query.outcome), query, statuses)


async def violations_listing(groups: Iterable[FindingsView], query: Query, statuses: Iterable[Status]) -> Listing:
    """Return a page of findings, in the order of account, AppId, rule and TaskId.

    Args:
        groups: All findings of the outcome that the query asks for.
        query: Filters and page.
        statuses: All apps.
    """
    on_page: list[tuple[FindingsView, Sequence[str]]] = []
    matching = 0
    unseen = 0  # findings on this page or behind it, at least
    narrows = bool(query.task_id) or query.by_time
    for group in sorted(filter(query.matches_group, groups), key=_group_names):
        may_be_on_page = unseen <= query.limit and _group_names(group) >= query.after[:-1]
        task_ids = _matching_tasks(group, query) if may_be_on_page or narrows else ()
        matching += len(task_ids) if narrows else group.count
        if may_be_on_page:
            on_page.append((group, task_ids))
            unseen += 0 if _group_names(group) == query.after[:-1] else len(task_ids)
        if query.by_time:
            # Only then can the rest wait: times stay what they are, other lists are those of this moment.
            await asyncio.sleep(0)
    found: list[_Found] = []
    for group, task_ids in on_page:
        missing = query.limit + 1 - len(found)
        if not missing:
            break
        found += [(group, task_id) for task_id in await _first_unseen(group, task_ids, query, missing)]
    # Ages are read now: a finding may be gone when its item is made.
    aged = [(group, task_id, group.since.get(task_id)) for group, task_id in found[: query.limit]]
    matching_apps = (status for status in statuses if query.matches_app(status.account, status.app_id))
    return Listing(
        "violations",
        ViolationDocument,
        (_violation(group, task_id, since) for group, task_id, since in aged),
        has_more=len(found) > query.limit,
        cursor_of=lambda item: cursor_after(item.account, item.app_id, item.rule, item.task_id or ""),
        also={"matching": matching, "apps_without_data": apps_without_data(matching_apps)},
    )


async def resolved_listing(view: View, query: Query) -> Listing:
    """Return a page of violations that have ended, newest first."""
    if query.owner:
        raise BadQueryError("owner does not go with state=resolved")
    past = view.past()
    apps = await past.apps()
    query.require_known(view, former_apps=apps)
    query = replace(query, after=query.after[:1])
    if query.after and not query.after[0].isdigit():
        raise BadQueryError("cursor is not of a page of state=resolved, expected the next_cursor of an answer")
    found = await past.violations(query.of_past(query.limit + 1, ended=True))
    rules = {shown.rule.name: shown.rule for shown in view.rules()}
    on_page = found[: query.limit]
    return Listing(
        "violations",
        ViolationDocument,
        (_past_violation(one, rules.get(one.rule)) for one in on_page),
        has_more=len(found) > query.limit,
        cursor_of=lambda item: cursor_after(str(item.number), "", "", ""),
        also={"matching": None, "apps_without_data": []},
    )


def _past_violation(one: PastViolation, rule: Rule | None) -> ViolationDocument:
    return ViolationDocument(
        account=one.account,
        app_id=one.app_id,
        task_id=one.task_id or None,
        rule=one.rule,
        severity=Severity(one.severity),
        title="" if rule is None else rule.title,
        owner="" if rule is None else rule.owner,
        runbook_url="" if rule is None else rule.runbook_url,
        message=one.message or None,
        since=one.opened,
        number=one.number,
        resolved=one.resolved,
        why=one.why,
        exemption=None,
        reason=None,
        data_available=True,
    )


def _matching_tasks(group: FindingsView, query: Query) -> Sequence[str]:
    """Return a copy of the TaskIds of a group that match, in any order."""
    if query.task_id:
        is_found = query.matches_time(group.since.get(query.task_id)) and query.task_id in group.task_ids()
        return [query.task_id] if is_found else []
    if query.by_time:
        return [task_id for task_id, since in group.since.items() if query.since <= since <= query.until]
    return list(group.task_ids())


async def _first_unseen(group: FindingsView, task_ids: Sequence[str], query: Query, count: int) -> Sequence[str]:
    """Return at most `count` TaskIds of a group, in order, behind the page before."""
    last = query.after[-1] if _group_names(group) == query.after[:-1] else None
    found = await ordered(task_ids, key=str, wanted=None if last is None else lambda task_id: task_id > last)
    return await found.rows(0, count)


def _group_names(findings: FindingsView) -> tuple[str, ...]:
    return findings.account, findings.app_id, findings.rule.name


def _violation(findings: FindingsView, task_id: str, since: float | None) -> ViolationDocument:
    rule = findings.rule
    return document_of(
        ViolationDocument,
        findings.detail(task_id),
        findings,
        rule,
        task_id=task_id or None,
        rule=rule.name,
        since=since,
        number=None,
        resolved=None,
        why=None,
    )
