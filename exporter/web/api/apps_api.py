"""`/api/v1/apps`: the state of each app, where what is not known is null, never 0; and `/api/v1/search`."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Struct

from exporter.collector.inventory import Entry
from exporter.collector.status import Status
from exporter.core.collection_state import State
from exporter.rules.rule import Severity
from exporter.web.api.openapi import endpoint
from exporter.web.lists import AT_ONCE, Listing, Ordered, absent_last, ordered, slices
from exporter.web.query import Query, UnknownNameError, sorting
from exporter.web.responses import TIMES, about, document_of
from exporter.web.view import AppView, View


class AppWithoutDataDocument(Struct):
    """An app whose data is missing or too old."""

    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    reason: Annotated[str, about("Why, in one line.")]


def apps_without_data(statuses: Iterable[Status]) -> list[AppWithoutDataDocument]:
    """Return the apps whose data is missing or withdrawn, and why, in the order of account and AppId."""
    return [
        AppWithoutDataDocument(
            one.account, one.app_id, one.reason or f"the last good data is older than {one.stale_after_seconds:g} s"
        )
        for one in sorted(statuses, key=lambda status: status.key)
        if not one.data_available
    ]


class QuotaDocument(Struct):
    """Configured quotas of tasks."""

    single: Annotated[int | None, about("Single-stream tasks; null: none is configured.")]
    mixed: Annotated[int | None, about("Mixed-stream tasks; null: none is configured.")]


class TaskCountDocument(Struct):
    """A number of tasks."""

    task_region: Annotated[str, about("One of the documented regions, or other.")]
    mix_mode: Annotated[str, about("single, mixed or other.")]
    count: Annotated[int, about("Number of tasks.")]


class ViolationCountsDocument(Struct):
    """Number of violations by severity."""

    critical: Annotated[int, about("Of critical rules.")]
    warning: Annotated[int, about("Of rules that warn.")]
    info: Annotated[int, about("Of rules for information.")]


class AttemptsDocument(Struct):
    """Number of attempts of one kind with one outcome."""

    kind: Annotated[str, about("update or sweep.")]
    outcome: Annotated[State, about("Outcome.")]
    count: Annotated[int, about("How often, since the exporter started.")]


class SweepDocument(Struct):
    """Facts about the last accepted sweep."""

    duration_seconds: Annotated[float, about("How long it took.")]
    requests: Annotated[int, about("How many requests it took.")]
    repaired_tasks: Annotated[int, about("Tasks that its pages missed and a repair found.")]
    duplicate_rows: Annotated[int, about("Rows that came more than once, because the list moved.")]
    rows_without_task_id: Annotated[int, about("Rows that were skipped, since they have no TaskId.")]


class AppDocument(Struct, kw_only=True, rename=TIMES):
    """One configured app."""

    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    name: Annotated[str, about("Display name; may be empty.")]
    owner: Annotated[str, about("Its owner; may be empty.")]
    up: Annotated[bool, about("There is an accepted sweep, and the last update and the last sweep were both complete.")]
    state: Annotated[State, about("State of its collection.")]
    reason: Annotated[str, about("Reason for the state in one line; empty while it is ok.")]
    data_available: Annotated[bool, about("False: there is no data, or it is too old.")]
    quota: Annotated[QuotaDocument, about("Its quota.")]
    tasks: Annotated[list[TaskCountDocument] | None, about("Its tasks; null while no data is available.")]
    violations: Annotated[
        ViolationCountsDocument | None,
        about(
            "Its violations, as of the last good data; null until all its tasks have been evaluated,"
            " and while there is no data and none is known."
        ),
    ]
    last_update_began: Annotated[float | None, about("When the last successful update began, in seconds since 1970.")]
    last_sweep_began: Annotated[float | None, about("When the last accepted sweep began, in seconds since 1970.")]
    last_attempt_began: Annotated[float | None, about("When the last attempt of either began, in seconds since 1970.")]
    interval_seconds: Annotated[float, about("The effective interval of updates.")]
    sweep_interval_seconds: Annotated[float, about("The effective interval of sweeps.")]
    stale_after_seconds: Annotated[float, about("The effective age at which data is withdrawn.")]
    interval_stretch_ratio: Annotated[float, about("Above 1 if the budget is too small.")]
    attempts: Annotated[list[AttemptsDocument], about("Attempts by kind and outcome.")]
    sweep: Annotated[SweepDocument | None, about("The last accepted sweep; null: there was none yet.")]
    collected_by: Annotated[
        str | None,
        about(
            "With `sharing`: the address, or else the name, of the other exporter that collects it;"
            " empty: none is known. null: this exporter collects it."
        ),
    ]


class AppsDocument(Struct):
    """All configured apps, in the order of the configuration, or of `sort`."""

    apps: Annotated[list[AppDocument], about("The apps.")]


SORTS: Final[Mapping[str, Callable[[AppView], Any]]] = {
    "app": lambda app: app.status.key[::-1],
    "state": lambda app: app.status.state.badness,
    "tasks": lambda app: None if app.tasks is None else sum(app.tasks.values()),
    "quota_used": lambda app: app.used,
    "violations": lambda app: app.by_severity,
    "last_update": lambda app: app.status.last_update_began,
}
"""What is least in the app that is first."""


async def all_apps(view: View, query: Query, _now: float) -> Listing:
    """State of each app.

    All configured apps, in the order of the configuration, or of sort.
    """
    apps = view.statuses()
    column = SORTS.get(query.sort.removeprefix("-"))
    if column is not None:
        descending = query.sort.startswith("-")
        key = absent_last(column, lambda _: None, descending=descending)
        apps = sorted(sorted(apps, key=lambda app: app.status.key), key=key, reverse=descending)
    return Listing("apps", AppDocument, apps, _app)


async def one_app(view: View, query: Query, _now: float) -> AppDocument:
    """State of one app.

    404 if the account or the app is not configured.
    """
    app = query.app_of(view)
    if app is None:
        raise UnknownNameError(f"no app {query.app_id!r} is configured in account {query.account!r}")
    return _app(app)


def _app(app: AppView) -> AppDocument:
    status, violations = app.status, app.violations
    return document_of(
        AppDocument,
        status,
        quota=QuotaDocument(status.quota_single, status.quota_mixed),
        tasks=None if app.tasks is None else [TaskCountDocument(*key, n) for key, n in sorted(app.tasks.items())],
        violations=violations
        if violations is None
        else ViolationCountsDocument(**{one: violations.get(one, 0) for one in Severity}),
        attempts=[AttemptsDocument(*key, n) for key, n in sorted(status.attempts.items())],
        sweep=None if status.sweep is None else document_of(SweepDocument, status.sweep),
        collected_by=app.collected_by,
    )


_IS_EQUAL, _BEGINS, _CONTAINS = range(3)


class Hit(Struct, frozen=True, gc=False):
    """An app, or one of its tasks."""

    status: Status
    entry: Entry | None  # None: the app itself


async def search(view: View, query: Query) -> Ordered[Hit]:
    """Return what has the text of `query` in its name: equal names first, then those that begin with it."""
    text = query.text.lower()

    def place(hit: Hit) -> tuple[int, bool, str, str, str]:
        status, entry = hit.status, hit.entry
        one, other = (status.app_id, status.name) if entry is None else (entry.task_id, entry.channel_id)
        names = one.lower(), other.lower()
        begins = names[0].startswith(text) or names[1].startswith(text)
        rank = _IS_EQUAL if text in names else _BEGINS if begins else _CONTAINS
        return rank, entry is not None, status.account, status.app_id, "" if entry is None else one

    hits: list[Hit] = []
    seen = 0
    for app in view.statuses():
        status = app.status
        if query.has_text(status.app_id, status.name):
            hits.append(Hit(status, None))
        tasks = view.tasks(*status.key)
        for part in () if tasks is None else slices(tasks.entries):
            hits += [Hit(status, one) for one in part if text in one.task_id.lower() or text in one.channel_id.lower()]
            seen += len(part)
            if seen >= AT_ONCE:
                seen = 0
                await asyncio.sleep(0)
    return await ordered(hits, key=place)


class SearchResultDocument(Struct, kw_only=True):
    """An app or a task."""

    kind: Annotated[Literal["app", "task"], about("What it is.")]
    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    app_name: Annotated[str, about("The app's display name; may be empty.")]
    task_id: Annotated[str | None, about("The TaskId; null: it is an app.")] = None
    channel_id: Annotated[str | None, about("The task's ChannelId; null: it is an app.")] = None


class SearchDocument(Struct, kw_only=True):
    """The best results: equal names first, then those that begin with the text."""

    results: Annotated[list[SearchResultDocument], about("Apps and tasks.")]
    matching: Annotated[int, about("Number of all results; more than are listed beyond `limit`.")]


async def all_results(view: View, query: Query, _now: float) -> Listing:
    """Search for apps, tasks and channels.

    Apps and tasks over all accounts whose AppId, name, TaskId or ChannelId contains a text.
    """
    found = await search(view, query)
    hits = await found.rows(0, query.limit)
    return Listing("results", SearchResultDocument, hits, _result, also={"matching": found.matching})


def _result(hit: Hit) -> SearchResultDocument:
    kind = "app" if hit.entry is None else "task"
    return document_of(SearchResultDocument, hit.status, hit.entry, kind=kind, app_name=hit.status.name)


ENDPOINTS: Final = (
    endpoint(
        *("apps", "getApps", all_apps, AppsDocument),
        sorting(
            "Order of the apps: by AppId; by how bad their state is; by number of tasks; by the used part of the "
            "fullest quota; by violations, critical ones before others; by the last successful update. Without it, "
            "the order is that of the configuration.",
            SORTS,
        ),
        "format",
    ),
    endpoint("apps/{account}/{app_id}", "getApp", one_app, AppDocument),
)
SEARCH: Final = endpoint("search", "search", all_results, SearchDocument, "text format limit")
