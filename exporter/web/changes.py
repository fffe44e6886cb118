"""`/api/v1/changes`: which of the remembered changes are asked for, and how they are answered."""

import math
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from exporter.collect.history import RecordedChange
from exporter.web.query import DEFAULT_LIMIT, BadQueryError, given_once, read_limit, read_moment

_PARAMETERS: Final = ("account", "app_id", "task_id", "since", "limit", "cursor")
_NUMBER: Final = re.compile(r"[0-9]{1,15}")


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


def read_query(parameters: Iterable[tuple[str, str]]) -> ChangesQuery:
    """Read the parameters of a URL.

    Raises:
        BadQueryError: One is unknown, given twice, empty, or not what it has to be.
    """
    given = given_once(parameters, _PARAMETERS)
    return ChangesQuery(
        account=given.get("account"),
        app_id=given.get("app_id"),
        task_id=given.get("task_id"),
        since=read_moment(given, "since"),
        limit=read_limit(given),
        before=_cursor(given["cursor"]) if "cursor" in given else math.inf,
    )


def changes_document(
    newest_first: Iterable[RecordedChange], query: ChangesQuery, *, remembered_since: float
) -> Mapping[str, Any]:
    """Return the answer: a page of changes, where the next one begins, and how far the memory reaches."""
    found = list(islice(filter(query.asks_for, newest_first), query.limit + 1))
    page = found[: query.limit]
    return {
        "changes": [_change(change) for change in page],
        "next_cursor": str(page[-1].number) if len(found) > len(page) else None,
        "remembered_since": remembered_since,
    }


def _change(change: RecordedChange) -> dict[str, Any]:
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
