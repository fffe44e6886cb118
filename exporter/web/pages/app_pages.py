"""`/`: all apps, worst first, with their request budgets; `/apps/…`: one app, its tasks, and their latest changes."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from exporter.collector.inventory import Entry
from exporter.collector.past import HistoryError, HistoryFilter
from exporter.collector.status import Status
from exporter.collector.task_diff import shown
from exporter.core.collection_state import State
from exporter.core.task import MIX_MODES, MIXED, SINGLE
from exporter.rules.facts import PushKey, earliest_expiry
from exporter.rules.rule import SEVERITIES, Severity
from exporter.web.lists import NumberedPage, absent_last, numbered_page, ordered
from exporter.web.pages.rendering import PageError
from exporter.web.query import LARGEST_BITRATE_KBPS, Parameter, Query, choice, known, video_bitrate, violations_by_app
from exporter.web.view import AppView, FindingKind, FindingsView, View

SEVEREST_FIRST: Final = tuple(reversed(SEVERITIES))
NEARLY_USED: Final = 0.9  # of a quota, as the alert on it warns


class ModeCount(Struct, frozen=True):
    """Number of tasks of one mode."""

    mode: str
    count: int
    quota: int | None

    @property
    def used(self) -> float:
        """The used part of the quota; 0 without one."""
        return self.count / self.quota if self.quota else 0.0

    @property
    def is_nearly_used(self) -> bool:
        """Whether the quota is nearly or wholly used."""
        return self.used >= NEARLY_USED


class AppRow(Struct, frozen=True):
    """An app on the page."""

    status: Status
    tone: str  # good, waiting or bad
    modes: Sequence[ModeCount] | None  # None: there is no data, or it is withdrawn
    withdrawn: bool
    violations: Mapping[Severity, int] | None  # severest first; None: unknown, since there is no data
    next_update: float | None
    next_sweep: float | None

    @property
    def updated(self) -> float | None:
        """When the last successful update or accepted sweep began: a sweep brings an app up to date, too."""
        return max(
            (at for at in (self.status.last_update_began, self.status.last_sweep_began) if at is not None), default=None
        )

    @property
    def used(self) -> float:
        """The used part of its fullest quota."""
        return max((mode.used for mode in self.modes or ()), default=0.0)

    @property
    def name(self) -> tuple[str, str]:
        """Account and AppId."""
        return self.status.account, self.status.app_id


def _worst_first(row: AppRow) -> Any:
    """Order by failures, then quotas nearly used, then violations, then the fullest quota."""
    violations = _by_severity(row) or (0, 0, 0)
    is_full = row.used >= NEARLY_USED
    return row.status.up, -row.status.state.badness, -row.used if is_full else 0.0, *violations, -row.used, row.name


def _by_severity(row: AppRow) -> Sequence[int] | None:
    return None if row.violations is None else [-row.violations.get(severity, 0) for severity in SEVEREST_FIRST]


def _of_mode(mode: str) -> Callable[[AppRow], Any]:
    def fullest_first(row: AppRow) -> Any:
        return next(((-one.used, -one.count) for one in row.modes or () if one.mode == mode), None)

    return fullest_first


class Column(Struct, frozen=True):
    """A column of the table."""

    heading: str
    key: Callable[[AppRow], Any]
    starts_descending: bool = False  # whether its key puts the greatest value first


APP_COLUMNS: Final[Mapping[str, Column]] = {
    "app": Column("App", lambda row: (row.status.app_id, row.status.account)),
    "state": Column("State", lambda row: -row.status.state.badness, starts_descending=True),
    "single": Column("Single-stream", _of_mode(SINGLE), starts_descending=True),
    "mixed": Column("Mixed", _of_mode(MIXED), starts_descending=True),
    "violations": Column("Violations", _by_severity, starts_descending=True),
    "updated": Column("Updated", lambda row: row.updated),
    "swept": Column("Swept", lambda row: row.status.last_sweep_began),
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
    counts = violations_by_app(view.findings(FindingKind.VIOLATION))
    apps = view.statuses()
    own = [app for app in apps if app.collected_by is None]
    rows = [app_row(app, counts.get((app.status.account, app.status.app_id), Counter())) for app in own]
    all_violations = Counter[Severity]()
    for row in rows:
        all_violations.update(row.violations or {})
    found = await ordered(rows, wanted=partial(_is_wanted, query), key=_order(query), descending=query.descending)
    return "status", {
        "page": await numbered_page(found, query.page),
        "columns": APP_COLUMNS,
        "owners": sorted({row.status.owner for row in rows} - {""}),
        "states": sorted({row.status.state for row in rows}, key=lambda state: state.badness),
        "apps": len(rows),
        "elsewhere": [app for app in apps if app.collected_by is not None],
        "up": sum(row.status.up for row in rows),
        "tasks": sum(mode.count for row in rows for mode in row.modes or ()),
        "apps_with_tasks": sum(row.modes is not None for row in rows),
        "nearly_used": sorted(
            ((mode, row.status) for row in rows for mode in row.modes or () if mode.is_nearly_used),
            key=lambda each: -each[0].used,
        ),
        "violations": severest_first(all_violations),
        "apps_evaluated": sum(row.violations is not None for row in rows),
        "trend": view.trend(),
        "budgets": view.budgets(),
    }


def _is_wanted(query: Query, row: AppRow) -> bool:
    status = row.status
    return (
        query.has_text(status.app_id, status.name, status.account, status.owner)
        and query.owner in {"", status.owner}
        and query.app_state in {"", status.state}
        and (not query.severity or query.severity in (row.violations or {}))
    )


def _order(query: Query) -> Callable[[AppRow], Any]:
    if query.sort not in APP_COLUMNS:
        return _worst_first
    return absent_last(APP_COLUMNS[query.sort].key, lambda row: row.name, descending=query.descending)


def app_row(app: AppView, violations: Mapping[Severity, int]) -> AppRow:
    """Return the row of one app; `violations` are its counts by severity."""
    status = app.status
    has_sweep = status.last_sweep_began is not None
    return AppRow(
        status=status,
        tone="good" if status.up else "waiting" if status.last_attempt_began is None else "bad",
        modes=None if app.tasks is None else _modes(app.tasks, status),
        withdrawn=has_sweep and app.tasks is None,
        violations=severest_first(violations) if violations or status.data_available else None,
        next_update=app.next_update if has_sweep else None,
        next_sweep=app.next_sweep,
    )


def severest_first(violations: Mapping[Severity, int]) -> Mapping[Severity, int]:
    """Return the counts that are not 0, the severest first."""
    return {severity: violations[severity] for severity in SEVEREST_FIRST if violations.get(severity)}


def _modes(tasks: Mapping[tuple[str, str], int], status: Status) -> Sequence[ModeCount]:
    """Return the number of tasks by mode; other modes have no quota and are shown if there are any."""
    counts = Counter[str]()
    for (_, mode), count in tasks.items():
        counts[mode if mode in MIX_MODES else "other"] += count
    modes = [
        ModeCount(SINGLE, counts[SINGLE], status.quota_single),
        ModeCount(MIXED, counts[MIXED], status.quota_mixed),
    ]
    return [*modes, ModeCount("other", counts["other"], None)] if counts["other"] else modes


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
    row = app_row(app, violations_by_app(groups).get((account, app_id), {}))
    attempts = sorted(app.status.attempts.items(), key=lambda item: (item[0][0], item[0][1].badness))
    try:
        changes = await view.past().changes(HistoryFilter(account=account, app_id=app_id, limit=NEWEST_CHANGES))
    except HistoryError:
        changes = ()  # the page is about the present
    return "app", {
        "app": row,
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
