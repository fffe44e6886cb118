"""Search over all accounts: apps, tasks and channels whose name contains a text; `/api/v1/search`."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Struct

from exporter.collector.entry import Entry
from exporter.collector.status import Status
from exporter.web.lists import Listing, Ordered, ordered
from exporter.web.query import FORMAT, LIMIT, SEARCHED, Query
from exporter.web.responses import about
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
        return rank, hit.entry is not None, status.account, status.app_id, hit.entry.task_id if hit.entry else ""

    return await ordered(_all(view), key=place, wanted=lambda hit: query.has_text(*_names(hit)))


def _names(hit: Hit) -> tuple[str, str]:
    if hit.entry is None:
        return hit.status.app_id, hit.status.name
    return hit.entry.task_id, hit.entry.channel_id


def _all(view: View) -> Iterator[Hit]:
    for app in view.statuses():
        yield Hit(app.status, None)
        tasks = view.tasks(app.status.account, app.status.app_id)
        for entry in () if tasks is None else tasks.entries:
            yield Hit(app.status, entry)


PARAMETERS: Final = (SEARCHED, FORMAT, LIMIT)


class SearchResultDocument(Struct, kw_only=True):
    """An app or a task."""

    kind: Annotated[Literal["app", "task"], about("What it is.")]
    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    app_name: Annotated[str, about("The app's display name; may be empty.")]
    task_id: Annotated[str | None, about("The TaskId; null: it is an app.")]
    channel_id: Annotated[str | None, about("The task's ChannelId; null: it is an app.")]


class SearchDocument(Struct, kw_only=True):
    """The best results: equal names first, then those that begin with the text."""

    results: Annotated[list[SearchResultDocument], about("Apps and tasks.")]
    matching: Annotated[int, about("Number of all results; more than are listed beyond `limit`.")]


async def search_listing(view: View, query: Query, _now: float) -> Listing:
    """Return the best results, without further pages."""
    found = await search(view, query)
    hits = await found.rows(0, query.limit)
    return Listing("results", SearchResultDocument, map(_document, hits), also={"matching": found.matching})


def _document(hit: Hit) -> SearchResultDocument:
    entry = hit.entry
    return SearchResultDocument(
        kind="app" if entry is None else "task",
        account=hit.status.account,
        app_id=hit.status.app_id,
        app_name=hit.status.name,
        task_id=None if entry is None else entry.task_id,
        channel_id=None if entry is None else entry.channel_id,
    )
