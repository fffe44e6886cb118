"""`/api/v1/tasks` in the vocabulary of rules, which has no URL paths, user ids or payloads; `/api/v1/changes`."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter, itemgetter
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Struct

from exporter.collector.inventory import Entry
from exporter.collector.past import RecordedChange
from exporter.collector.status import Status
from exporter.collector.task_diff import Shown
from exporter.core.task import Configuration
from exporter.rules.facts import PushKey, earliest_expiry, facts, with_push_keys
from exporter.rules.rule import Outcome, Severity
from exporter.rules.vocabulary import TaskFacts
from exporter.web.api.apps_api import AppWithoutDataDocument, apps_without_data
from exporter.web.api.openapi import endpoint
from exporter.web.lists import Listing, ordered
from exporter.web.query import Query, UnknownNameError, cursor, cursor_at, number_cursor, sorting, video_bitrate
from exporter.web.responses import TIMES, about, document_of
from exporter.web.view import FindingKind, TasksView, TaskView, View

_PARTS: Final = ("outputs", "panes", "user_streams")
MOST_PARTS: Final = 100  # outputs, panes and user streams of one task that are shown; the service takes fewer


class OmittedDocument(Struct, kw_only=True):
    """How many parts of a task's configuration are not shown."""

    outputs: Annotated[int, about("Outputs.")]
    panes: Annotated[int, about("Panes.")]
    user_streams: Annotated[int, about("User streams.")]


class TaskDocument(Struct, kw_only=True, rename=TIMES):
    """One task as it is configured. The list that it comes from does not say whether a task runs."""

    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    task_id: Annotated[str, about("The TaskId.")]
    channel_id: Annotated[str, about("The ChannelId; empty where there is none.")]
    configuration: Annotated[TaskFacts, about("Its configuration; absent values are null.")]
    omitted: Annotated[OmittedDocument, about(f"What is not shown beyond {MOST_PARTS} parts of a kind.")]
    first_seen: Annotated[float, about("When it was first seen, in seconds since 1970.")]
    last_changed: Annotated[float, about("When its configuration was last seen to change, in seconds since 1970.")]
    violations: Annotated[list[str], about("The names of the rules that it violates, sorted.")]
    data_available: Annotated[bool, about("False: as of the last good data, which is too old.")]


class TaskFindingDocument(Struct, kw_only=True, rename=TIMES):
    """The outcome of one rule for a task."""

    rule: Annotated[str, about("The rule's name.")]
    severity: Annotated[Severity, about("The rule's severity.")]
    title: Annotated[str, about("What the rule expects, in short.")]
    outcome: Annotated[Outcome, about("Its outcome.")]
    since: Annotated[
        float | None, about("Since when a violation is seen, in seconds since 1970; null for other outcomes.")
    ]
    message: Annotated[str | None, about("What is wrong, in one line.")]
    exemption: Annotated[str | None, about("The name of the exemption, of an exempted one.")]
    reason: Annotated[str | None, about("Why the rule can't be evaluated, of one that can't.")]


class TaskWithFindingsDocument(TaskDocument):
    """One task and the outcome of its rules."""

    findings: Annotated[list[TaskFindingDocument], about("Of every rule that was evaluated for it.")]


def task_document(
    status: Status, entry: Entry, violations: Iterable[str], push_keys: Sequence[PushKey] = ()
) -> TaskDocument:
    """Return the document of a task; `violations` are names of rules, `push_keys` are of its outputs."""
    configuration = entry.configuration
    return document_of(
        TaskDocument,
        status,
        entry,
        configuration=_configuration(configuration, push_keys),
        omitted=OmittedDocument(**{of: max(len(getattr(configuration, of)) - MOST_PARTS, 0) for of in _PARTS}),
        violations=sorted(violations),
    )


def task_with_findings_document(view: TaskView) -> TaskWithFindingsDocument:
    """Return the document of a task with the outcome of its rules."""
    violations = (finding.rule.name for finding in view.findings if finding.outcome is Outcome.VIOLATION)
    findings = [
        document_of(TaskFindingDocument, one.detail, one, one.rule, rule=one.rule.name) for one in view.findings
    ]
    task = task_document(view.status, view.entry, violations, view.push_keys)
    return document_of(TaskWithFindingsDocument, task, findings=findings)


def _configuration(configuration: Configuration, push_keys: Sequence[PushKey]) -> TaskFacts:
    shown = facts(configuration)
    if push_keys:
        shown = with_push_keys(shown, push_keys, lambda at: datetime.fromtimestamp(at, UTC))
    for parts in _PARTS:
        shown[parts] = shown[parts][:MOST_PARTS]
    return msgspec.convert(shown, TaskFacts)


_SortKey: TypeAlias = Callable[[TasksView, Entry], float | None]


BY_NAME: Final = "task"
SORTS: Final[Mapping[str, _SortKey]] = {
    BY_NAME: lambda _tasks, _entry: 0.0,
    "push_expires": lambda tasks, entry: earliest_expiry(tasks.push_keys(entry)),
    "video_bitrate": lambda _tasks, entry: video_bitrate(entry),
    "first_seen": lambda _tasks, entry: entry.first_seen,
    "last_changed": lambda _tasks, entry: entry.last_changed,
}
"""What is least in the task that is first; a `-` in front of all but the name puts the greatest first."""

_AppKey: TypeAlias = tuple[str, str]
_Violations: TypeAlias = Mapping[str, Collection[str]]  # TaskIds that violate each rule of an app
_Place: TypeAlias = tuple[float | str, ...]  # sorted value or infinity, account, AppId, TaskId
_Found: TypeAlias = tuple[_Place, TasksView, Entry]


class TasksDocument(Struct, kw_only=True):
    """A page of tasks, in the order of account, AppId and TaskId, or of `sort`."""

    tasks: Annotated[list[TaskDocument], about("The tasks.")]
    apps_without_data: Annotated[
        list[AppWithoutDataDocument],
        about("Matching apps whose tasks are unknown, or are those of the last good data."),
    ]
    next_cursor: Annotated[str | None, about("Where the next page begins; null: this is the last one.")]


async def all_tasks(view: View, query: Query, _now: float) -> Listing:
    """Known tasks.

    Tasks as they are configured, in the order of account, AppId and TaskId. Following the cursors returns every task
    that exists throughout exactly once, even if others are added or removed meanwhile.
    """
    query.require_known(view)
    by_name = query.sort == BY_NAME
    after = query.place_before(3, is_sorted=not by_name)
    matching = (app.status for app in view.statuses() if query.matches_app(*app.status.key))
    statuses = sorted(matching, key=lambda status: status.key)
    violations = _violations_by_app(view)
    found: list[_Found] = []
    for status in statuses:
        if by_name and (len(found) > query.limit or status.key < after[1:3]):
            continue  # none of its tasks can be on the page
        tasks = view.tasks(*status.key)
        if tasks is not None:
            found += await _first_unseen(tasks, query, violations.get(status.key, {}))
            found = sorted(found, key=itemgetter(0))[: query.limit + 1]
            await asyncio.sleep(0)  # many small apps take as long as a large one

    def document(each: _Found) -> TaskDocument:
        _, tasks, entry = each
        of_app = violations.get(tasks.status.key, {})
        violated = (rule for rule, violating in of_app.items() if entry.task_id in violating)
        return task_document(tasks.status, entry, violated, tasks.push_keys(entry))

    return Listing(
        "tasks",
        TaskDocument,
        found,
        document,
        query.limit,
        cursor_of=lambda each: cursor_at(each[0], is_sorted=not by_name),
        also={"apps_without_data": apps_without_data(statuses)},
    )


async def one_task(view: View, query: Query, _now: float) -> TaskWithFindingsDocument:
    """One task and the outcome of its rules.

    404 if the account, the app or the task is unknown.
    """
    found = view.task(query.account, query.app_id, query.task_id)
    if found is None:
        raise UnknownNameError(
            f"no task {query.task_id!r} is known in app {query.app_id!r} of account {query.account!r}"
        )
    return task_with_findings_document(found)


async def _first_unseen(tasks: TasksView, query: Query, violations: _Violations) -> Sequence[_Found]:
    after = query.place_before(3, is_sorted=query.sort != BY_NAME)
    violating = violations.get(query.rule, ()) if query.rule else None

    def wanted(entry: Entry) -> bool:
        return (
            (not query.after or _place(query, tasks, entry) > after)
            and (violating is None or entry.task_id in violating)
            and query.matches_task(entry, tasks.push_keys)
        )

    found = await ordered(
        tasks.entries,
        key=attrgetter("task_id") if query.sort == BY_NAME else partial(_place, query, tasks),
        wanted=wanted if query.after or query.narrows_tasks else None,
    )
    return [(_place(query, tasks, entry), tasks, entry) for entry in await found.rows(0, query.limit + 1)]


def _place(query: Query, tasks: TasksView, entry: Entry) -> _Place:
    value = SORTS[query.sort.removeprefix("-")](tasks, entry)
    return float(query.ranked(value)), *tasks.status.key, entry.task_id


def _violations_by_app(view: View) -> Mapping[_AppKey, _Violations]:
    by_app: dict[_AppKey, dict[str, Collection[str]]] = {}
    for findings in view.findings(FindingKind.VIOLATION):
        by_rule = by_app.setdefault((findings.account, findings.app_id), {})
        by_rule[findings.rule.name] = findings.since.keys()
    return by_app


class FieldChangeDocument(Struct, kw_only=True):
    """What has changed in one group of fields. Where both sides are the same, what differs is not shown."""

    field: Annotated[str, about("The group of fields.")]
    before: Annotated[Shown, about("What it was, in a few words; null: nothing was set.")]
    after: Annotated[Shown, about("What it is since, in a few words; null: nothing is set.")]


class ChangeDocument(Struct, kw_only=True, rename=TIMES):
    """One change of one task."""

    number: Annotated[int, about("Rises with each change.")]
    noticed: Annotated[float, about("When it was noticed, in seconds since 1970.")]
    earliest: Annotated[
        float | None, about("In seconds since 1970: it happened after this; null: since the last update.")
    ]
    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    task_id: Annotated[str, about("The TaskId.")]
    change: Annotated[str, about("added, removed or modified.")]
    fields: Annotated[
        list[FieldChangeDocument], about("What changed; of a task that came or went what was set, with a database.")
    ]
    notes: Annotated[
        list[str],
        about(
            "`stream_reused_too_early`: a stream appeared in a task within 10 s of the removal of a task that had it; "
            "`probably_restarted`: Region, MaxIdleTime or the SEI payload type changed, which no update can do."
        ),
    ]


class ChangesDocument(Struct, kw_only=True):
    """A page of changes, newest first."""

    changes: Annotated[list[ChangeDocument], about("The changes.")]
    remembered_since: Annotated[
        float, about("In seconds since 1970: no change that was noticed after this has been forgotten.")
    ]
    next_cursor: Annotated[str | None, about("Where the next page begins; null: this is the last one.")]


async def all_changes(view: View, query: Query, now: float) -> Listing:
    """Latest changes of tasks.

    Changes of tasks, newest first. Without `storage` the newest 10,000 are kept, until a restart.
    """
    past = view.past()
    query.require_known(view, former_apps=await past.apps())
    found = await past.changes(query.of_past(query.limit + 1))
    return Listing(
        "changes",
        ChangeDocument,
        found,
        _change,
        query.limit,
        cursor_of=lambda change: str(change.number),
        also={"remembered_since": await past.remembered_since(now)},
    )


def _change(one: RecordedChange) -> ChangeDocument:
    fields = [document_of(FieldChangeDocument, each) for each in one.fields]
    return document_of(ChangeDocument, one, fields=fields, notes=list(one.notes))


ENDPOINTS: Final = (
    endpoint(
        *("tasks", "getTasks", all_tasks, TasksDocument),
        "account app_id task_region mix_mode push_auth host codec min_video_bitrate_kbps max_video_bitrate_kbps",
        "rule task_id",
        sorting(
            "Order of the tasks: by account, AppId and TaskId; by the earliest expiry of their push keys; by video "
            "bitrate; by when they were first seen or changed.",
            (name for name in SORTS if name != BY_NAME),
            by_name=(BY_NAME,),
        ),
        "format limit",
        cursor(3, 4),
    ),
    endpoint("tasks/{account}/{app_id}/{task_id}", "getTask", one_task, TaskWithFindingsDocument),
    endpoint(
        *("changes", "getChanges", all_changes, ChangesDocument),
        "account app_id task_id change field since until format limit",
        cursor(parse=number_cursor),
    ),
)
