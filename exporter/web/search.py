"""Search over all accounts: apps, tasks and channels whose name contains a text."""

from collections.abc import Iterator
from typing import NamedTuple

from exporter.collector.inventory import Entry
from exporter.collector.status import Status
from exporter.web.lists import Ordered, ordered
from exporter.web.query import Query
from exporter.web.view import View

_IS_EQUAL, _BEGINS, _CONTAINS = range(3)


class Hit(NamedTuple):
    """An app, or one of its tasks."""

    status: Status
    entry: Entry | None  # None: the app itself


async def search(view: View, query: Query) -> Ordered[Hit]:
    """Return what has the text of `query` in its name: equal names first, then those that begin with it."""
    text = query.text.lower()

    def place(hit: Hit) -> tuple[int, bool, str, str, str]:
        names = [name.lower() for name in _names(hit)]
        rank = _IS_EQUAL if text in names else _BEGINS if any(name.startswith(text) for name in names) else _CONTAINS
        status = hit.status
        return rank, hit.entry is not None, status.account, status.app_id, hit.entry.task.task_id if hit.entry else ""

    return await ordered(_all(view), key=place, wanted=lambda hit: query.has_text(*_names(hit)))


def _names(hit: Hit) -> tuple[str, str]:
    if hit.entry is None:
        return hit.status.app_id, hit.status.name
    task = hit.entry.task
    return task.task_id, task.channel_id


def _all(view: View) -> Iterator[Hit]:
    for app in view.statuses():
        yield Hit(app.status, None)
        tasks = view.tasks(app.status.account, app.status.app_id)
        for entry in () if tasks is None else tasks.entries:
            yield Hit(app.status, entry)
