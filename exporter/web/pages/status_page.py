"""`/`: all apps, worst first, and their request budgets."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from exporter.collector.status import Status
from exporter.core.collection_state import State
from exporter.core.task import MIX_MODES, MIXED, SINGLE
from exporter.rules.rule import SEVERITIES, Severity
from exporter.web.lists import absent_last, numbered_page, ordered
from exporter.web.query import Query, choice, known, violations_by_app
from exporter.web.view import AppView, FindingKind, View

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


COLUMNS: Final[Mapping[str, Column]] = {
    "app": Column("App", lambda row: (row.status.app_id, row.status.account)),
    "state": Column("State", lambda row: -row.status.state.badness, starts_descending=True),
    "single": Column("Single-stream", _of_mode(SINGLE), starts_descending=True),
    "mixed": Column("Mixed", _of_mode(MIXED), starts_descending=True),
    "violations": Column("Violations", _by_severity, starts_descending=True),
    "updated": Column("Updated", lambda row: row.updated),
    "swept": Column("Swept", lambda row: row.status.last_sweep_began),
}
"""What the table can be sorted by; without a choice the worst apps are first."""

PARAMETERS: Final = known(
    "text owner",
    replace(choice("", State, name="state"), into="app_state"),
    "severity",
    choice("", COLUMNS, name="sort"),
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
        "columns": COLUMNS,
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
    if query.sort not in COLUMNS:
        return _worst_first
    return absent_last(COLUMNS[query.sort].key, lambda row: row.name, descending=query.descending)


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
