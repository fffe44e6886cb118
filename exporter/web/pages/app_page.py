"""`/apps/…`: one app, its tasks, and their latest changes."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from exporter.collector.inventory import Entry
from exporter.collector.past import HistoryError, HistoryFilter
from exporter.collector.task_diff import shown
from exporter.rules.facts import PushKey, earliest_expiry
from exporter.rules.rule import Severity
from exporter.web.lists import NumberedPage, absent_last, numbered_page, ordered
from exporter.web.pages.rendering import PageError
from exporter.web.pages.status_page import app_row, severest_first
from exporter.web.query import LARGEST_BITRATE_KBPS, Parameter, Query, choice, known, video_bitrate, violations_by_app
from exporter.web.view import FindingKind, FindingsView, View

COLUMNS: Final[Mapping[str, Callable[[Entry], Any]]] = {
    "task": lambda entry: entry.task_id,
    "region": lambda entry: entry.configuration.region,
    "mode": lambda entry: entry.configuration.mix_mode,
    "outputs": lambda entry: len(entry.configuration.outputs),
    "bitrate": video_bitrate,
    "idle": lambda entry: entry.configuration.idle_timeout_seconds,
    "changed": lambda entry: -entry.last_changed,
}
"""Sort keys. Absent values are last; `changed` starts with the latest."""

EXPIRES: Final = "expires"
"""The sort key of the earliest expiry of a task's push keys, which depends on settings."""


PARAMETERS: Final = known(
    Parameter(name="task_id", into="text"),
    "task_region mix_mode rule push_auth host codec min_video_bitrate_kbps max_video_bitrate_kbps",
    choice("", (*COLUMNS, EXPIRES), name="sort"),
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
            expires if query.sort == EXPIRES else COLUMNS[query.sort],
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
