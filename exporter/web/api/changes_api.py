"""`/api/v1/changes`: recorded changes of tasks."""

import math
import re
from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Final, TypedDict

from msgspec import Struct

from exporter.collect.changes import Shown
from exporter.collect.history import RecordedChange
from exporter.web.api.parameters import ACCOUNT, APP_ID, CURSOR, DEFAULT_LIMIT, LIMIT, SINCE, TASK_ID
from exporter.web.api.query import BadQueryError, given_once, read_limit, read_moment
from exporter.web.responses import Page, about

PARAMETERS: Final = (ACCOUNT, APP_ID, TASK_ID, SINCE, LIMIT, CURSOR)

_NUMBER: Final = re.compile(r"[0-9]{1,15}")


class FieldChangeDocument(TypedDict):
    """What has changed in one group of fields. Where both sides are the same, what differs is not shown."""

    field: Annotated[str, about("The group of fields.")]
    before: Annotated[Shown, about("What it was, in a few words; null: nothing was set.")]
    after: Annotated[Shown, about("What it is since, in a few words; null: nothing is set.")]


class ChangeDocument(TypedDict):
    """One change of one task."""

    number: Annotated[int, about("Rises by one with each change since the exporter started.")]
    noticed_timestamp_seconds: Annotated[float, about("When it was noticed, in seconds since 1970.")]
    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    task_id: Annotated[str, about("The TaskId.")]
    change: Annotated[str, about("added, removed or modified.")]
    fields: Annotated[
        list[FieldChangeDocument], about("What a modification has changed; empty for a task that came or went.")
    ]


class ChangesDocument(TypedDict):
    """A page of changes, newest first."""

    changes: Annotated[list[ChangeDocument], about("The changes.")]
    remembered_since: Annotated[
        float, about("In seconds since 1970: no change that was noticed after this has been forgotten.")
    ]
    next_cursor: Annotated[str | None, about("Where the next page begins; null: this is the last one.")]


class ChangesQuery(Struct, frozen=True):
    """Which changes are asked for; None: whatever it is."""

    account: str | None = None
    app_id: str | None = None
    task_id: str | None = None
    since: float = -math.inf
    """Wall-clock seconds."""
    limit: int = DEFAULT_LIMIT
    before: float = math.inf
    """Only changes with lower numbers: what a page before this one has not shown."""

    def asks_for(self, change: RecordedChange) -> bool:
        """Whether a change is one of them, whatever the limit."""
        return (
            change.number < self.before
            and change.noticed >= self.since
            and self.account in {None, change.account}
            and self.app_id in {None, change.app_id}
            and self.task_id in {None, change.task_id}
        )


def read_changes_query(parameters: Iterable[tuple[str, str]]) -> ChangesQuery:
    """Read the parameters of a URL.

    Raises:
        BadQueryError: One is unknown, given twice, empty, or not what it has to be.
    """
    given = given_once(parameters, PARAMETERS)
    return ChangesQuery(
        account=given.get("account"),
        app_id=given.get("app_id"),
        task_id=given.get("task_id"),
        since=read_moment(given, "since"),
        limit=read_limit(given),
        before=_cursor(given["cursor"]) if "cursor" in given else math.inf,
    )


def changes_page(
    newest_first: Iterable[RecordedChange], query: ChangesQuery, *, remembered_since: float
) -> Page[ChangeDocument]:
    """Return a page of changes, and how far the memory reaches."""
    found = list(islice(filter(query.asks_for, newest_first), query.limit + 1))
    page = found[: query.limit]
    return Page(
        name="changes",
        items=map(_change, page),
        next_cursor=str(page[-1].number) if len(found) > len(page) else None,
        cursor_of=lambda change: str(change["number"]),
        also={"remembered_since": remembered_since},
    )


def _change(change: RecordedChange) -> ChangeDocument:
    return {
        "number": change.number,
        "noticed_timestamp_seconds": change.noticed,
        "account": change.account,
        "app_id": change.app_id,
        "task_id": change.task_id,
        "change": change.change,
        "fields": [{"field": field.field, "before": field.before, "after": field.after} for field in change.fields],
    }


def _cursor(text: str) -> int:
    """Read where a page begins."""
    if not _NUMBER.fullmatch(text):
        raise BadQueryError(f"cursor is {text!r}, expected the next_cursor of an answer")
    return int(text)
