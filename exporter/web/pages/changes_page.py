"""`/changes`: what changed, and when."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from exporter.collector.task_diff import FIELD_GROUPS, KINDS
from exporter.web.query import ACCOUNT, APP_ID, CHANGE, FIELD, SINCE, TASK_ID, UNTIL, Query, number_cursor
from exporter.web.view import View

ROWS: Final = 50
PARAMETERS: Final = (ACCOUNT, APP_ID, TASK_ID, CHANGE, FIELD, SINCE, UNTIL, number_cursor())


async def shown_changes(view: View, query: Query, *, now: float) -> Mapping[str, Any]:
    """Return the template's values; `now` is a Unix time."""
    past = view.past()
    found = await past.changes(query.of_past(ROWS + 1))
    apps = {*await past.apps(), *((app.status.account, app.status.app_id) for app in view.statuses())}
    return {
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
