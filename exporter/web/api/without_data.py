"""Apps of which nothing is known that can be relied upon: lists say so, since an empty one would look like none."""

from collections.abc import Iterable
from typing import Annotated, TypedDict

from exporter.collect.status import Status
from exporter.web.api.describing import about


class AppWithoutDataDocument(TypedDict):
    """An app of which nothing is known that can be relied upon."""

    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    reason: Annotated[str, about("Why, in one line.")]


def apps_without_data(statuses: Iterable[Status]) -> list[AppWithoutDataDocument]:
    """Return those of some apps whose data is missing or withdrawn, and why, in the order of account and AppId."""
    without = (status for status in statuses if not status.data_available)
    return [_document(status) for status in sorted(without, key=lambda status: (status.account, status.app_id))]


def _document(status: Status) -> AppWithoutDataDocument:
    reason = status.reason or f"the last good data is older than {status.stale_after_seconds:g} s"
    return {"account": status.account, "app_id": status.app_id, "reason": reason}
