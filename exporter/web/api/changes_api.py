"""`/api/v1/changes`: recorded changes of tasks."""

from typing import Annotated, Final

from msgspec import Struct

from exporter.collector.change_history import RecordedChange
from exporter.collector.task_diff import Shown
from exporter.web.lists import Listing
from exporter.web.query import Query, cursor, known, number_cursor
from exporter.web.responses import TIMES, about, document_of
from exporter.web.view import View

PARAMETERS: Final = known("account app_id task_id change field since until format limit", cursor(parse=number_cursor))


class FieldChangeDocument(Struct, kw_only=True):
    """What has changed in one group of fields. Where both sides are the same, what differs is not shown."""

    field: Annotated[str, about("The group of fields.")]
    before: Annotated[Shown, about("What it was, in a few words; null: nothing was set.")]
    after: Annotated[Shown, about("What it is since, in a few words; null: nothing is set.")]


class ChangeDocument(Struct, kw_only=True, rename=TIMES):
    """One change of one task."""

    number: Annotated[int, about("Rises with each change.")]
    noticed: Annotated[float, about("When it was noticed, in seconds since 1970.")]
    earliest: Annotated[
        float | None,
        about("In seconds since 1970: it happened after this; null: since the last update."),
    ]
    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    task_id: Annotated[str, about("The TaskId.")]
    change: Annotated[str, about("added, removed or modified.")]
    fields: Annotated[
        list[FieldChangeDocument],
        about("What changed; of a task that came or went what was set, with a database."),
    ]
    notes: Annotated[
        list[str],
        about(
            "`stream_reused_too_early`: a stream appeared in a task within 10 s of the removal of a task that had it; "
            "`probably_restarted`: Region, MaxIdleTime or the SEI payload type changed, which no update can do."
        ),
    ]


class ChangesDocument(Struct, kw_only=True):
    """A page of changes, newest first."""

    changes: Annotated[list[ChangeDocument], about("The changes.")]
    remembered_since: Annotated[
        float, about("In seconds since 1970: no change that was noticed after this has been forgotten.")
    ]
    next_cursor: Annotated[str | None, about("Where the next page begins; null: this is the last one.")]


async def all_changes(view: View, query: Query, now: float) -> Listing:
    """Latest changes of tasks.

    Changes of tasks, newest first. Without `storage` the newest 10,000 are kept, until a restart.
    """
    past = view.past()
    query.require_known(view, former_apps=await past.apps())
    found = await past.changes(query.of_past(query.limit + 1))
    return Listing(
        "changes",
        ChangeDocument,
        map(_document, found[: query.limit]),
        has_more=len(found) > query.limit,
        cursor_of=lambda change: str(change.number),
        also={"remembered_since": await past.remembered_since(now)},
    )


def _document(one: RecordedChange) -> ChangeDocument:
    fields = [document_of(FieldChangeDocument, each) for each in one.fields]
    return document_of(ChangeDocument, one, fields=fields, notes=list(one.notes))
