"""`/apps/…`: what is known of one app, its tasks, and what changed in them lately."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from exporter.collect.history import FieldChange, RecordedChange
from exporter.metrics import labels
from exporter.policy.rule import Rule
from exporter.state import State
from exporter.web.known_names import unknown_names
from exporter.web.pages.status import app_row, violations_by_app
from exporter.web.pages.task_table import COLUMNS, TaskQuery, task_page
from exporter.web.view import FindingKind, FindingsView, View

NEWEST_CHANGES: Final = 15


class RuleCount(Struct, frozen=True):
    """How many violations of one rule an app has."""

    rule: Rule
    count: int
    oldest: float | None
    """Wall-clock seconds since when the oldest is seen."""


async def shown_app(view: View, account: str, app_id: str, query: TaskQuery) -> Mapping[str, Any] | None:
    """Return what the template is given; None: there is no such app."""
    app = next((app for app in view.statuses() if (app.status.account, app.status.app_id) == (account, app_id)), None)
    tasks = view.tasks(account, app_id)
    if app is None or tasks is None:
        return None
    groups = [
        group for group in view.findings(FindingKind.VIOLATION) if (group.account, group.app_id) == (account, app_id)
    ]
    row = app_row(app, violations_by_app(groups).get((account, app_id), {}))
    rules = _rule_counts(groups)
    attempts = attempts_by_outcome(app.status.attempts)
    changes = newest(view.changes(), lambda change: (change.account, change.app_id) == (account, app_id))
    return {
        "app": row,
        "attempts": attempts,
        "rules": rules,
        "query": query,
        "no_such": unknown_names(view, rule=query.rule),
        "page": await task_page(tasks.entries, query, groups),
        "all_tasks": len(tasks.entries),
        "regions": labels.TASK_REGION.values,
        "modes": labels.MIX_MODE.values,
        "columns": tuple(COLUMNS),
        "changes": changes,
    }


def newest(changes: Iterable[RecordedChange], wanted: Callable[[RecordedChange], bool]) -> Sequence[RecordedChange]:
    """Return the newest of the changes that are wanted; `changes` has the newest first."""
    return tuple(islice(filter(wanted, changes), NEWEST_CHANGES))


def attempts_by_outcome(attempts: Mapping[tuple[str, State], int]) -> Sequence[tuple[str, str, int]]:
    """Return kind, outcome and count of all attempts, successes first."""
    rows = sorted(attempts.items(), key=lambda item: (item[0][0], item[0][1].badness))
    return [(kind, outcome.value, count) for (kind, outcome), count in rows]


def from_to(field: FieldChange) -> tuple[str, str]:
    """Return what stood in a field before and after; a difference in what is not shown is one all the same."""
    before, after = ("nothing" if value is None else str(value) for value in (field.before, field.after))
    return (before, after) if before != after else (before, f"{after} (another)")


def _rule_counts(groups: Iterable[FindingsView]) -> Sequence[RuleCount]:
    """Return the rules that are violated, the severest first."""
    counts = [RuleCount(group.rule, group.count, min(group.since.values(), default=None)) for group in groups]
    return sorted(counts, key=lambda each: (-each.rule.severity.rank, -each.count, each.rule.name))
