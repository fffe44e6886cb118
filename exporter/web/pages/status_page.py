"""`/`: all apps, worst first, and their request budgets."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from exporter.collector.status import Status
from exporter.core.task import MIX_MODES, MIXED, SINGLE
from exporter.rules.rule import SEVERITIES, Severity
from exporter.web.query import violations_by_app
from exporter.web.view import AppView, FindingKind, View

SEVEREST_FIRST: Final = tuple(reversed(SEVERITIES))


class ModeCount(Struct, frozen=True):
    """Number of tasks of one mode."""

    mode: str
    count: int
    quota: int | None


class AppRow(Struct, frozen=True):
    """An app on the page."""

    status: Status
    tone: str  # good, waiting or bad
    modes: Sequence[ModeCount] | None  # None: there is no data, or it is withdrawn
    withdrawn: bool
    violations: Mapping[Severity, int] | None  # severest first; None: unknown, since there is no data
    next_update: float | None
    next_sweep: float | None


def shown_status(view: View) -> Mapping[str, Any]:
    """Return the template's values."""
    counts = violations_by_app(view.findings(FindingKind.VIOLATION))
    rows = [app_row(app, counts.get((app.status.account, app.status.app_id), Counter())) for app in view.statuses()]
    all_violations = Counter[Severity]()
    for row in rows:
        all_violations.update(row.violations or {})
    return {
        "apps": sorted(rows, key=lambda row: (row.status.up, -row.status.state.badness)),
        "up": sum(row.status.up for row in rows),
        "tasks": sum(mode.count for row in rows for mode in row.modes or ()),
        "apps_with_tasks": sum(row.modes is not None for row in rows),
        "violations": _severest_first(all_violations),
        "apps_evaluated": sum(row.violations is not None for row in rows),
        "budgets": view.budgets(),
    }


def app_row(app: AppView, violations: Mapping[Severity, int]) -> AppRow:
    """Return the row of one app; `violations` are its counts by severity."""
    status = app.status
    has_sweep = status.last_sweep_began is not None
    return AppRow(
        status=status,
        tone="good" if status.up else "waiting" if status.last_attempt_began is None else "bad",
        modes=None if app.tasks is None else _modes(app.tasks, status),
        withdrawn=has_sweep and app.tasks is None,
        violations=_severest_first(violations) if violations or status.data_available else None,
        next_update=app.next_update if has_sweep else None,
        next_sweep=app.next_sweep,
    )


def _severest_first(violations: Mapping[Severity, int]) -> Mapping[Severity, int]:
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
