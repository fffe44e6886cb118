"""`/api/v1/search`: apps and tasks by a part of their name."""

from typing import Annotated, Final, Literal

from msgspec import Struct

from exporter.web.lists import Listing
from exporter.web.query import FORMAT, LIMIT, SEARCHED, Query
from exporter.web.responses import about
from exporter.web.search import Hit, search
from exporter.web.view import View

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
    task = None if hit.entry is None else hit.entry.task
    return SearchResultDocument(
        kind="app" if task is None else "task",
        account=hit.status.account,
        app_id=hit.status.app_id,
        app_name=hit.status.name,
        task_id=None if task is None else task.task_id,
        channel_id=None if task is None else task.channel_id,
    )
