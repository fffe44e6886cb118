"""`/api/v1/changes`: which of the remembered changes are asked for, and how they are answered."""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from exporter.collect.history import RecordedChange

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000

_PARAMETERS: Final = ("account", "app_id", "task_id", "since", "limit", "cursor")
_UNIX_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_WHOLE: Final = re.compile(r"[0-9]{1,15}")


class BadQueryError(ValueError):
    """A query that can't be answered; `str()` says which parameter, and what was expected."""


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
    given: dict[str, str] = {}
    for name, value in parameters:
        if name not in _PARAMETERS:
            raise BadQueryError(f"unknown parameter {name!r}, expected one of {', '.join(_PARAMETERS)}")
        if name in given:
            raise BadQueryError(f"{name} is given twice, expected once")
        if not value:
            raise BadQueryError(f"{name} is empty, expected a value")
        given[name] = value
    return ChangesQuery(
        account=given.get("account"),
        app_id=given.get("app_id"),
        task_id=given.get("task_id"),
        since=_moment(given["since"]) if "since" in given else -math.inf,
        limit=_limit(given["limit"]) if "limit" in given else DEFAULT_LIMIT,
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


def _moment(text: str) -> float:
    """Read a point in time."""
    if _UNIX_SECONDS.fullmatch(text):
        return float(text)
    try:
        if _RFC_3339.fullmatch(text.upper()):
            return datetime.fromisoformat(text.upper()).timestamp()
    except ValueError:
        pass  # Such as the 30th of February: as wrong as any other text.
    raise BadQueryError(f"since is {text!r}, expected seconds since 1970 or a time such as 2027-01-15T08:00:00Z")


def _limit(text: str) -> int:
    """Read how many changes a page has at most."""
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise BadQueryError(f"limit is {text!r}, expected a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def _cursor(text: str) -> int:
    """Read where a page begins."""
    if not _WHOLE.fullmatch(text):
        raise BadQueryError(f"cursor is {text!r}, expected the next_cursor of an answer")
    return int(text)
