"""What changed, and when: `/changes`, and the timeline of a task."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct

from exporter.collector.change_history import RecordedChange
from exporter.collector.past import HistoryFilter, PastViolation
from exporter.collector.task_diff import FIELD_GROUPS, KINDS
from exporter.web.query import Query, cursor, known, number_cursor
from exporter.web.view import View

ROWS: Final = 50
MOST_ROWS: Final = 100  # of a timeline
PARAMETERS: Final = known("account app_id task_id change field since until", cursor(parse=number_cursor))


async def shown_changes(view: View, query: Query, now: float) -> tuple[str, Mapping[str, Any]]:
    """Return the template and its values; `now` is a Unix time."""
    past = view.past()
    found = await past.changes(query.of_past(ROWS + 1))
    apps = {*await past.apps(), *((app.status.account, app.status.app_id) for app in view.statuses())}
    return "changes", {
        "query": query,
        "parameters": partial(query.parameters, PARAMETERS[:-1]),
        "changes": found[:ROWS],
        "following": found[ROWS - 1].number if len(found) > ROWS else None,
        "remembered_since": await past.remembered_since(now),
        "accounts": sorted({account for account, _ in apps}),
        "app_ids": sorted({app_id for _, app_id in apps}),
        "kinds": KINDS,
        "fields": FIELD_GROUPS,
        "no_such": query.unknown_names(view, apps),
    }


class TimelineRow(Struct, frozen=True):
    """A change of a task, or a violation."""

    time: float
    change: RecordedChange | None = None
    violation: PastViolation | None = None


async def timeline(view: View, account: str, app_id: str, task_id: str) -> Sequence[TimelineRow]:
    """Return the newest changes and violations of a task, newest first; may raise HistoryError."""
    wanted = HistoryFilter(account=account, app_id=app_id, task_id=task_id, limit=MOST_ROWS)
    rows = [TimelineRow(each.noticed, change=each) for each in await view.past().changes(wanted)]
    rows += [TimelineRow(each.opened, violation=each) for each in await view.past().violations(wanted)]
    return sorted(rows, key=lambda row: -row.time)[:MOST_ROWS]
