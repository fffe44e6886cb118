"""Search over all accounts: apps, tasks and channels whose name contains a text; `/api/v1/search`."""

import asyncio
from typing import Annotated, Final, Literal

from msgspec import Struct

from exporter.collector.entry import Entry
from exporter.collector.status import Status
from exporter.web.lists import AT_ONCE, Listing, Ordered, ordered, slices
from exporter.web.query import Query, known
from exporter.web.responses import about
from exporter.web.view import View

_IS_EQUAL, _BEGINS, _CONTAINS = range(3)


class Hit(Struct, frozen=True, gc=False):
    """An app, or one of its tasks."""

    status: Status
    entry: Entry | None  # None: the app itself


async def search(view: View, query: Query) -> Ordered[Hit]:
    """Return what has the text of `query` in its name: equal names first, then those that begin with it."""
    text = query.text.lower()

    def place(hit: Hit) -> tuple[int, bool, str, str, str]:
        status, entry = hit.status, hit.entry
        one, other = (status.app_id, status.name) if entry is None else (entry.task_id, entry.channel_id)
        names = one.lower(), other.lower()
        begins = names[0].startswith(text) or names[1].startswith(text)
        rank = _IS_EQUAL if text in names else _BEGINS if begins else _CONTAINS
        return rank, entry is not None, status.account, status.app_id, "" if entry is None else one

    hits: list[Hit] = []
    seen = 0
    for app in view.statuses():
        status = app.status
        if query.has_text(status.app_id, status.name):
            hits.append(Hit(status, None))
        tasks = view.tasks(status.account, status.app_id)
        for part in () if tasks is None else slices(tasks.entries):
            hits += [Hit(status, one) for one in part if text in one.task_id.lower() or text in one.channel_id.lower()]
            seen += len(part)
            if seen >= AT_ONCE:
                seen = 0
                await asyncio.sleep(0)
    return await ordered(hits, key=place)


PARAMETERS: Final = known("text format limit")


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


async def all_results(view: View, query: Query, _now: float) -> Listing:
    """Search for apps, tasks and channels.

    Apps and tasks over all accounts whose AppId, name, TaskId or ChannelId contains a text.
    """
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
