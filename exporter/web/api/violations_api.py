"""What rules found, and the rules themselves: `/api/v1/violations` and `/api/v1/rules`."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Final, Literal

from msgspec import Struct

from exporter.collector.past import PastViolation
from exporter.collector.status import Status
from exporter.rules.rule import Exemption, Rule, Severity
from exporter.web.api.apps_api import AppWithoutDataDocument, apps_without_data
from exporter.web.api.openapi import endpoint
from exporter.web.lists import Listing, ordered
from exporter.web.query import NUMBER, BadQueryError, Query, cursor, cursor_after, cursor_at, sorting
from exporter.web.responses import TIMES, about, document_of
from exporter.web.view import FindingsView, RuleView, TotalsDocument, View

SORTS: Final[Mapping[str, Callable[[Severity, float | None], float | None]]] = {
    "since": lambda _severity, since: since,
    "severity": lambda severity, _since: severity.rank,
}
"""What is least in the finding that is first."""


_FORMER_RULE: Final = Rule(name="", title="", severity=Severity.INFO, expect="")


class Finding(Struct, frozen=True, gc=False):
    """A finding before its texts are made."""

    group: FindingsView
    task_id: str  # empty for a finding about the whole app
    since: float | None


class ViolationDocument(Struct, kw_only=True, rename=TIMES):
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
    since: Annotated[float | None, about("Since when it is seen, in seconds since 1970; null where that is not known.")]
    resolved: Annotated[float | None, about("When it ended, in seconds since 1970; null while it is open.")] = None
    why: Annotated[str | None, about("Why it ended.")] = None
    number: Annotated[int | None, about("Of one that has ended; rises with each violation.")] = None
    exemption: Annotated[str | None, about("The name of the exemption, of an exempted one.")] = None
    reason: Annotated[str | None, about("Why the rule can't be evaluated, of an unevaluable one.")] = None
    data_available: Annotated[bool, about("False: frozen, as of the last good data.")]


class ViolationsDocument(Struct, kw_only=True):
    """A page of findings, in the order of account, AppId, rule and TaskId, or of `sort`."""

    violations: Annotated[list[ViolationDocument], about("The findings.")]
    matching: Annotated[int | None, about("Number of findings on all pages; null of those that have ended.")]
    apps_without_data: Annotated[
        list[AppWithoutDataDocument], about("Matching apps without current data, whose findings are frozen.")
    ]
    next_cursor: Annotated[str | None, about("Where the next page begins; null: this is the last one.")]


async def all_findings(view: View, query: Query, _now: float) -> Listing:
    """Violations and other findings of rules.

    Findings of one outcome, in the order of account, AppId, rule and TaskId; with state=resolved, violations that have
    ended, newest first.
    """
    if query.state == "resolved":
        return await resolved_listing(view, query)
    query.require_known(view)
    statuses = [app.status for app in view.statuses()]
    return await violations_listing(view.findings(query.outcome), query, statuses)


async def violations_listing(groups: Iterable[FindingsView], query: Query, statuses: Iterable[Status]) -> Listing:
    """Return a page of `groups`; `statuses` are those of all apps. Raises BadQueryError: a cursor of another order."""
    column = SORTS.get(query.sort.removeprefix("-"))
    after = query.place_before(4, is_sorted=column is not None)
    last_group = after[1:-1]

    def place(one: Finding) -> tuple[float | str, ...]:
        value = 0.0 if column is None else query.ranked(column(one.group.rule.severity, one.since))
        return value, *_group_names(one.group), one.task_id

    on_page: list[Finding] = []  # and others of the same groups
    matching = 0
    unseen = 0  # findings on this page or behind it, at least
    narrows = bool(query.task_id) or query.by_time
    for group in sorted(filter(query.matches_group, groups), key=_group_names):
        may_be_on_page = column is not None or (unseen <= query.limit and _group_names(group) >= last_group)
        found_here = matching_findings(group, query) if may_be_on_page or narrows else ()
        matching += len(found_here) if narrows else group.count
        if may_be_on_page:
            on_page += found_here
            unseen += 0 if _group_names(group) == last_group else len(found_here)
        if query.by_time:
            # Only then can the rest wait: times stay what they are, other lists are those of this moment.
            await asyncio.sleep(0)
    in_order = await ordered(on_page, key=place, wanted=(lambda one: place(one) > after) if query.after else None)
    matching_apps = (status for status in statuses if query.matches_app(*status.key))
    return Listing(
        "violations",
        ViolationDocument,
        await in_order.rows(0, query.limit + 1),
        _violation,
        query.limit,
        cursor_of=lambda one: cursor_at(place(one), is_sorted=column is not None),
        also={"matching": matching, "apps_without_data": apps_without_data(matching_apps)},
    )


async def resolved_listing(view: View, query: Query) -> Listing:
    """Return a page of violations that have ended, newest first."""
    if query.owner:
        raise BadQueryError("owner does not go with state=resolved")
    if query.sort.removeprefix("-") in SORTS:
        raise BadQueryError("sort does not go with state=resolved")
    past = view.past()
    apps = await past.apps()
    query.require_known(view, former_apps=apps)
    if query.after and (any(query.after[1:]) or not NUMBER.fullmatch(query.after[0])):
        raise BadQueryError("cursor is not of a page of state=resolved, expected the next_cursor of an answer")
    found = await past.violations(query.of_past(query.limit + 1, ended=True))
    rules = {shown.rule.name: shown.rule for shown in view.rules()}
    return Listing(
        "violations",
        ViolationDocument,
        found,
        lambda one: _past_violation(one, rules.get(one.rule)),
        query.limit,
        cursor_of=lambda item: cursor_after(str(item.number), "", "", ""),
        also={"matching": None, "apps_without_data": []},
    )


def _past_violation(one: PastViolation, rule: Rule | None) -> ViolationDocument:
    return document_of(
        ViolationDocument,
        one,
        rule or _FORMER_RULE,
        task_id=one.task_id or None,
        severity=Severity(one.severity),
        message=one.message or None,
        since=one.opened,
        reason=None,
        data_available=True,
    )


def matching_findings(group: FindingsView, query: Query) -> Sequence[Finding]:
    """Return a copy of the findings of a group that match, in any order: they may be gone when their items are made."""
    since = group.since
    if query.task_id:
        is_found = query.matches_time(since.get(query.task_id)) and query.task_id in group.task_ids()
        return [Finding(group, query.task_id, since.get(query.task_id))] if is_found else []
    if query.by_time:
        return [Finding(group, task_id, at) for task_id, at in since.items() if query.since <= at <= query.until]
    return [Finding(group, task_id, since.get(task_id)) for task_id in group.task_ids()]


def _group_names(findings: FindingsView) -> tuple[str, ...]:
    return findings.account, findings.app_id, findings.rule.name


def _violation(one: Finding) -> ViolationDocument:
    group, rule = one.group, one.group.rule
    sources = group.detail(one.task_id), group, rule
    return document_of(ViolationDocument, *sources, task_id=one.task_id or None, rule=rule.name, since=one.since)


class ExemptionDocument(Struct, kw_only=True):
    """Tasks that may violate a rule."""

    name: Annotated[str, about("Its name.")]
    tasks: Annotated[Sequence[str], about("TaskIds or globs.")]
    until: Annotated[str | None, about("The last day, in UTC; null: permanent.")]
    reason: Annotated[str, about("Why; may be empty.")]
    ended: Annotated[bool, about("Whether its last day is over.")]


class RuleDocument(Struct, kw_only=True):
    """One rule."""

    name: Annotated[str, about("Its name.")]
    title: Annotated[str, about("What it expects, in short.")]
    severity: Annotated[Severity, about("How much a violation matters.")]
    owner: Annotated[str, about("Its owner; may be empty.")]
    runbook_url: Annotated[str, about("URL of its runbook; may be empty.")]
    source: Annotated[
        str, about("Where it is defined: default, profile, app for expectations of an app, or file:line.")
    ]
    enabled: Annotated[bool, about("Whether it is in force.")]
    state: Annotated[
        Literal["on", "off", "stopped"],
        about("on: evaluated; off: not in force; stopped: it was too slow, its findings are frozen until a reload."),
    ]
    why: Annotated[str | None, about("Why it is off or stopped; null: it is on.")]
    apps: Annotated[Sequence[str], about("AppIds or globs; empty: all apps.")]
    when: Annotated[str, about("The rule does not apply where this expression is false; empty: it always applies.")]
    expect: Annotated[str, about("The expression that must be true.")]
    message: Annotated[str, about("The expression for the message; empty: the title is the message.")]
    reason: Annotated[str, about("Why it matters.")]
    remedy: Annotated[str, about("What to do about a violation.")]
    exemptions: Annotated[list[ExemptionDocument], about("Its exemptions.")]
    totals: Annotated[TotalsDocument | None, about("Null: it was not evaluated for any app.")]
    unevaluable_reasons: Annotated[Sequence[str], about("Some reasons why it can't be evaluated for tasks.")]


class RulesDocument(Struct, kw_only=True):
    """A page of rules, by name."""

    rules: Annotated[list[RuleDocument], about("The rules.")]
    matching: Annotated[int, about("How many there are on all pages.")]
    next_cursor: Annotated[str | None, about("Where the next page begins; null: this is the last one.")]


async def all_rules(view: View, query: Query, now: float) -> Listing:
    """Rules.

    All rules by name, including disabled ones.
    """
    query.require_known(view)
    return rules_listing(view.rules(), query, now=now)


def rules_listing(rules: Iterable[RuleView], query: Query, *, now: float) -> Listing:
    """Return a page of rules by name; exemptions have ended or not by `now`, a Unix time."""
    matching = sorted(filter(query.matches_rule, rules), key=lambda shown: shown.rule.name)
    rest = [shown for shown in matching if (shown.rule.name,) > query.after]
    return Listing(
        "rules",
        RuleDocument,
        rest,
        partial(_rule, now=now),
        query.limit,
        cursor_of=lambda shown: cursor_after(shown.rule.name),
        also={"matching": len(matching)},
    )


def _rule(shown: RuleView, now: float) -> RuleDocument:
    return document_of(
        RuleDocument,
        shown,
        shown.rule,
        enabled=shown.why_off is None,
        state="off" if shown.why_off is not None else "on" if shown.why_stopped is None else "stopped",
        why=shown.why_off or shown.why_stopped,
        exemptions=[_exemption(exemption, now) for exemption in shown.rule.exempt],
        unevaluable_reasons=shown.reasons(),
    )


def _exemption(exemption: Exemption, now: float) -> ExemptionDocument:
    until = None if exemption.until is None else exemption.until.isoformat()
    return document_of(ExemptionDocument, exemption, until=until, ended=exemption.ends_at <= now)


ENDPOINTS: Final = (
    endpoint(
        *("violations", "getViolations", all_findings, ViolationsDocument),
        "account app_id rule severity task_id owner since until outcome state",
        sorting(
            "Order of the findings: by when they were first seen, or by severity. Without it, the order is by account, "
            "AppId, rule and TaskId. It does not go with state=resolved.",
            SORTS,
        ),
        "format limit",
        cursor(4, 5),
    ),
    endpoint("rules", "getRules", all_rules, RulesDocument, "severity enabled rule format limit", cursor(1)),
)
