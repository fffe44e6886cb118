"""The table of an app's tasks: which are asked for, in which order, and what stands in a row."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from exporter.collect.changes import shown
from exporter.collect.inventory import Entry
from exporter.metrics import labels
from exporter.policy.rule import Severity
from exporter.web.pages.paging import Page, page_of
from exporter.web.pages.parameters import read_choice, read_page, read_text
from exporter.web.view import FindingsView


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
