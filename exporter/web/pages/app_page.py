"""`/apps/…`: one app, its tasks, and their latest changes."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from exporter.collect.changes import shown
from exporter.collect.history import FieldChange, RecordedChange
from exporter.collect.inventory import Entry
from exporter.metrics import labels
from exporter.policy.rule import Rule, Severity
from exporter.state import State
from exporter.web.known_names import unknown_names
from exporter.web.pages.paging import Page, page_of
from exporter.web.pages.parameters import read_choice, read_page, read_text
from exporter.web.pages.status_page import app_row, violations_by_app
from exporter.web.view import FindingKind, FindingsView, View


def _bitrate(entry: Entry) -> int | None:
    encoding = entry.task.configuration.encoding
    return None if encoding is None else encoding.video.bitrate_kbps


COLUMNS: Final[Mapping[str, Callable[[Entry], Any]]] = {
    "task": lambda entry: entry.task.task_id,
    "region": lambda entry: entry.task.configuration.region,
    "mode": lambda entry: entry.task.configuration.mix_mode,
    "outputs": lambda entry: len(entry.task.configuration.outputs),
    "bitrate": _bitrate,
    "idle": lambda entry: entry.task.configuration.idle_timeout_seconds,
    "changed": lambda entry: -entry.last_changed,
}
"""What the table can be sorted by; what is not set stands last, and what changed last stands first."""


class TaskQuery(Struct, frozen=True):
    """Which tasks are asked for; an empty text: whatever it is."""

    task_id: str = ""
    """A part of the TaskId or ChannelId, in upper or lower case."""
    task_region: str = ""
    mix_mode: str = ""
    rule: str = ""
    """One that they violate."""
    sort: str = "task"
    """One of `COLUMNS`."""
    descending: bool = False
    page: int = 1

    @property
    def is_narrow(self) -> bool:
        """Whether not all tasks are asked for."""
        return bool(self.task_id or self.task_region or self.mix_mode or self.rule)

    def parameters(self, **changes: str) -> Mapping[str, str]:
        """Return the parameters that ask for it, with changes; a change begins at the first page."""
        plain = {
            "task_id": self.task_id,
            "task_region": self.task_region,
            "mix_mode": self.mix_mode,
            "rule": self.rule,
            "sort": "" if self.sort == "task" else self.sort,
            "order": "desc" if self.descending else "",
        }
        return plain | changes

    def asks_for(self, entry: Entry, violators: Collection[str] | None) -> bool:
        """Whether a task is one of them.

        Args:
            entry: The task.
            violators: The TaskIds of those that violate the rule; None: there is no rule to violate.
        """
        task = entry.task
        return (
            (violators is None or task.task_id in violators)
            and (not self.task_region or labels.task_region(task.configuration) == self.task_region)
            and (not self.mix_mode or labels.mix_mode(task.configuration) == self.mix_mode)
            and (not self.task_id or self._is_named(task.task_id) or self._is_named(task.channel_id))
        )

    def _is_named(self, name: str) -> bool:
        return self.task_id in name or self.task_id.lower() in name.lower()


class TaskRow(Struct, frozen=True):
    """One task in the table."""

    entry: Entry
    outputs: Sequence[str]
    """The hosts that it pushes to, each once."""
    video: str
    audio: str
    violations: Mapping[Severity, int]


def read_task_query(query: Mapping[str, str]) -> TaskQuery:
    """Read the parameters of a URL.

    Raises:
        BadQueryError: One is not what it has to be.
    """
    return TaskQuery(
        task_id=read_text(query, "task_id"),
        task_region=read_choice(query, "task_region", labels.TASK_REGION.values),
        mix_mode=read_choice(query, "mix_mode", labels.MIX_MODE.values),
        rule=read_text(query, "rule"),
        sort=read_choice(query, "sort", COLUMNS) or "task",
        descending=read_choice(query, "order", ("asc", "desc")) == "desc",
        page=read_page(query),
    )


async def task_page(entries: Sequence[Entry], query: TaskQuery, groups: Iterable[FindingsView]) -> Page[TaskRow]:
    """Return a page of the table.

    Args:
        entries: All tasks of the app.
        query: Which of them.
        groups: The app's violations.
    """
    by_rule = {group.rule.name: group for group in groups}
    violators: Collection[str] | None = None
    if query.rule:
        violators = frozenset(by_rule[query.rule].task_ids()) if query.rule in by_rule else ()
    page = await page_of(
        entries,
        query.page,
        wanted=(lambda entry: query.asks_for(entry, violators)) if query.is_narrow else None,
        key=_key(query.sort, descending=query.descending),
        descending=query.descending,
    )
    rows = [_row(entry, by_rule.values()) for entry in page.rows]
    return Page[TaskRow](rows, page.number, page.matching, page.page_rows)


def _key(sort: str, *, descending: bool) -> Callable[[Entry], Any]:
    """Return a key by which what is not set stands last, and equals stand in the order of their TaskIds."""
    column = COLUMNS[sort]
    if sort == "task":
        return column

    def key(entry: Entry) -> Any:
        value = column(entry)
        return (value is not None) is descending, 0 if value is None else value, entry.task.task_id

    return key


def _row(entry: Entry, groups: Iterable[FindingsView]) -> TaskRow:
    task = entry.task
    violations: dict[Severity, int] = {}
    for group in groups:
        if task.task_id in group.since:
            violations[group.rule.severity] = violations.get(group.rule.severity, 0) + 1
    outputs = dict.fromkeys(f"{output.scheme}://{output.host}" for output in task.configuration.outputs)
    return TaskRow(
        entry=entry,
        outputs=tuple(outputs),
        video=_words(entry, "video"),
        audio=_words(entry, "audio"),
        violations=dict(sorted(violations.items(), key=lambda item: -item[0].rank)),
    )


def _words(entry: Entry, group: str) -> str:
    value = shown(entry.task, group)
    return "" if value is None else str(value)


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
