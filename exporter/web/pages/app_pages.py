"""`/`: all apps, worst first, with their request budgets; `/apps/…`: one app, its tasks, and their latest changes."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from exporter.collector.inventory import Entry
from exporter.collector.past import HistoryError, HistoryFilter
from exporter.collector.task_diff import shown
from exporter.core.collection_state import State
from exporter.core.task import MIXED, SINGLE
from exporter.rules.facts import PushKey, earliest_expiry
from exporter.rules.rule import Severity
from exporter.web.lists import NumberedPage, absent_last, numbered_page, ordered
from exporter.web.pages.rendering import PageError
from exporter.web.query import LARGEST_BITRATE_KBPS, Parameter, Query, choice, known, video_bitrate
from exporter.web.view import AppView, FindingKind, FindingsView, View, severest_first

NEARLY_USED: Final = 0.9  # of a quota, as the alert on it warns


def _worst_first(app: AppView) -> Any:
    """Order by failures, then quotas nearly used, then violations, then the fullest quota."""
    used = app.used or 0.0
    nearly_used = -used if used >= NEARLY_USED else 0.0
    return (
        app.status.up,
        -app.status.state.badness,
        nearly_used,
        _most_violations(app) or [0] * 3,
        -used,
        app.status.key,
    )


def _most_violations(app: AppView) -> Sequence[int] | None:
    return None if app.by_severity is None else [-count for count in app.by_severity]


def _of_mode(mode: str) -> Callable[[AppView], Any]:
    def fullest_first(app: AppView) -> Any:
        return next(((-(one.used or 0.0), -one.count) for one in app.modes if one.mode == mode), None)

    return fullest_first


class Column(Struct, frozen=True):
    """A column of the table."""

    heading: str
    key: Callable[[AppView], Any]
    starts_descending: bool = False  # whether its key puts the greatest value first


APP_COLUMNS: Final[Mapping[str, Column]] = {
    "app": Column("App", lambda app: app.status.key[::-1]),
    "state": Column("State", lambda app: -app.status.state.badness, starts_descending=True),
    "single": Column("Single-stream", _of_mode(SINGLE), starts_descending=True),
    "mixed": Column("Mixed", _of_mode(MIXED), starts_descending=True),
    "violations": Column("Violations", _most_violations, starts_descending=True),
    "updated": Column("Updated", lambda app: app.updated),
    "swept": Column("Swept", lambda app: app.status.last_sweep_began),
}
"""What the table can be sorted by; without a choice the worst apps are first."""

APPS_PARAMETERS: Final = known(
    "text owner",
    replace(choice("", State, name="state"), into="app_state"),
    "severity",
    choice("", APP_COLUMNS, name="sort"),
    "order page",
)


async def shown_status(view: View, query: Query, _now: float) -> tuple[str, Mapping[str, Any]]:
    """Return the template and its values: figures of all apps, and a page of those that match."""
    apps = view.statuses()
    own = [app for app in apps if app.collected_by is None]
    all_violations = Counter[Severity]()
    for app in own:
        all_violations.update(app.violations or {})
    found = await ordered(own, wanted=partial(_is_wanted, query), key=_order(query), descending=query.descending)
    return "status", {
        "page": await numbered_page(found, query.page),
        "columns": APP_COLUMNS,
        "owners": sorted({app.status.owner for app in own} - {""}),
        "states": sorted({app.status.state for app in own}, key=lambda state: state.badness),
        "apps": len(own),
        "elsewhere": [app for app in apps if app.collected_by is not None],
        "up": sum(app.status.up for app in own),
        "tasks": sum(mode.count for app in own for mode in app.modes),
        "apps_with_tasks": sum(app.tasks is not None for app in own),
        "nearly_used": sorted(
            ((mode, app.status) for app in own for mode in app.modes if (mode.used or 0.0) >= NEARLY_USED),
            key=lambda each: -(each[0].used or 0.0),
        ),
        "violations": severest_first(all_violations),
        "apps_evaluated": sum(app.violations is not None for app in own),
        "trend": view.trend(),
        "budgets": view.budgets(),
    }


def _is_wanted(query: Query, app: AppView) -> bool:
    status = app.status
    return (
        query.has_text(status.app_id, status.name, status.account, status.owner)
        and query.owner in {"", status.owner}
        and query.app_state in {"", status.state}
        and (not query.severity or query.severity in (app.violations or {}))
    )


def _order(query: Query) -> Callable[[AppView], Any]:
    if query.sort not in APP_COLUMNS:
        return _worst_first
    return absent_last(APP_COLUMNS[query.sort].key, lambda app: app.status.key, descending=query.descending)


TASK_COLUMNS: Final[Mapping[str, Callable[[Entry], Any]]] = {
    "task": lambda entry: entry.task_id,
    "region": lambda entry: entry.configuration.region,
    "mode": lambda entry: entry.configuration.mix_mode,
    "outputs": lambda entry: len(entry.configuration.outputs),
    "bitrate": video_bitrate,
    "idle": lambda entry: entry.configuration.idle_timeout_seconds,
    "changed": lambda entry: -entry.last_changed,
}
"""Sort keys. Absent values are last; `changed` starts with the latest."""

EXPIRES: Final = "expires"  # the sort key of the earliest expiry of a task's push keys, which depends on settings


TASKS_PARAMETERS: Final = known(
    Parameter(name="task_id", into="text"),
    "task_region mix_mode rule push_auth host codec min_video_bitrate_kbps max_video_bitrate_kbps",
    choice("", (*TASK_COLUMNS, EXPIRES), name="sort"),
    "order page",
)


class TaskRow(Struct, frozen=True):
    """A row of the table of tasks."""

    entry: Entry
    outputs: Sequence[str]  # distinct hosts
    video: object  # in words; None: not set
    audio: object
    expires_at: int | None  # the earliest expiry of its push keys
    violations: Mapping[Severity, int]


async def task_page(
    entries: Sequence[Entry],
    query: Query,
    groups: Iterable[FindingsView],
    push_keys: Callable[[Entry], Sequence[PushKey]] = lambda _entry: (),
) -> NumberedPage[TaskRow]:
    """Return a page of the table of an app's tasks; `groups` are the app's violations."""

    def expires(entry: Entry) -> int | None:
        return earliest_expiry(push_keys(entry))

    by_rule = {group.rule.name: group for group in groups}
    violators: Collection[str] | None = None
    if query.rule:
        violators = frozenset(by_rule[query.rule].task_ids()) if query.rule in by_rule else ()

    def wanted(entry: Entry) -> bool:
        return (violators is None or entry.task_id in violators) and query.matches_task(entry, push_keys)

    found = await ordered(
        entries,
        wanted=wanted if query.narrows_tasks else None,
        key=absent_last(
            expires if query.sort == EXPIRES else TASK_COLUMNS[query.sort],
            lambda entry: entry.task_id,
            descending=query.descending,
        ),
        descending=query.descending,
    )
    return await numbered_page(found, query.page, lambda entry: _row(entry, expires(entry), by_rule.values()))


def _row(entry: Entry, expires_at: int | None, groups: Iterable[FindingsView]) -> TaskRow:
    violations = Counter(group.rule.severity for group in groups if entry.task_id in group.since)
    outputs = dict.fromkeys(f"{output.scheme}://{output.host}" for output in entry.configuration.outputs)
    return TaskRow(
        entry=entry,
        outputs=tuple(outputs),
        video=shown(entry.task, "video"),
        audio=shown(entry.task, "audio"),
        expires_at=expires_at,
        violations=severest_first(violations),
    )


NEWEST_CHANGES: Final = 15


async def shown_app(view: View, query: Query, _now: float) -> tuple[str, Mapping[str, Any]]:
    """Return the template and its values; raises PageError if there is no such app here."""
    account, app_id = query.account, query.app_id
    app = query.app_of(view)
    tasks = view.tasks(account, app_id)
    if app is None or tasks is None:
        raise unknown_app(view, query)
    groups = list(view.findings(FindingKind.VIOLATION, (account, app_id)))
    attempts = sorted(app.status.attempts.items(), key=lambda item: (item[0][0], item[0][1].badness))
    try:
        changes = await view.past().changes(HistoryFilter(account=account, app_id=app_id, limit=NEWEST_CHANGES))
    except HistoryError:
        changes = ()  # the page is about the present
    return "app", {
        "app": app,
        "trend": view.trend(account, app_id),
        "attempts": [(*kind_and_outcome, count) for kind_and_outcome, count in attempts],
        "rules": sorted(groups, key=lambda each: (-each.rule.severity.rank, -each.count, each.rule.name)),
        "no_such": query.unknown_names(view),
        "page": await task_page(tasks.entries, query, groups, tasks.push_keys),
        "all_tasks": len(tasks.entries),
        "largest_bitrate": LARGEST_BITRATE_KBPS,
        "changes": changes,
    }


def unknown_app(view: View, query: Query) -> PageError:
    """Return the error for an app without tasks here: another exporter may have them."""
    app = query.app_of(view)
    if app is None or app.collected_by is None:
        message = f"The account {query.account} has no app {query.app_id} in the configuration."
        return PageError(404, "No such app", message)
    message = f"{query.app_id}: {app.status.reason}"
    if not app.collected_by.startswith("http"):
        return PageError(404, "Not collected here", message)
    return PageError(404, "Not collected here", message, app.collected_by, "To that exporter")
