"""`/api/v1/apps`: the state of each app. What is not known is null, never 0."""

from collections.abc import Iterable, Mapping
from typing import Annotated, TypedDict

from exporter.collector.status import Status, Sweep
from exporter.core.collection_state import State
from exporter.web.query import Query
from exporter.web.responses import about, json_text
from exporter.web.view import AppView, View


class AppWithoutDataDocument(TypedDict):
    """An app whose data is missing or too old."""

    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    reason: Annotated[str, about("Why, in one line.")]


def apps_without_data(statuses: Iterable[Status]) -> list[AppWithoutDataDocument]:
    """Return the apps whose data is missing or withdrawn, and why, in the order of account and AppId."""
    without = (status for status in statuses if not status.data_available)
    return [_document(status) for status in sorted(without, key=lambda status: (status.account, status.app_id))]


def _document(status: Status) -> AppWithoutDataDocument:
    reason = status.reason or f"the last good data is older than {status.stale_after_seconds:g} s"
    return {"account": status.account, "app_id": status.app_id, "reason": reason}


class QuotaDocument(TypedDict):
    """Configured quotas of tasks."""

    single: Annotated[int | None, about("Single-stream tasks; null: none is configured.")]
    mixed: Annotated[int | None, about("Mixed-stream tasks; null: none is configured.")]


class TaskCountDocument(TypedDict):
    """A number of tasks."""

    task_region: Annotated[str, about("One of the documented regions, or other.")]
    mix_mode: Annotated[str, about("single, mixed or other.")]
    count: Annotated[int, about("Number of tasks.")]


class AttemptsDocument(TypedDict):
    """Number of attempts of one kind with one outcome."""

    kind: Annotated[str, about("update or sweep.")]
    outcome: Annotated[State, about("Outcome.")]
    count: Annotated[int, about("How often, since the exporter started.")]


class SweepDocument(TypedDict):
    """Facts about the last accepted sweep."""

    duration_seconds: Annotated[float, about("How long it took.")]
    requests: Annotated[int, about("How many requests it took.")]
    repaired_tasks: Annotated[int, about("Tasks that its pages missed and a repair found.")]
    duplicate_rows: Annotated[int, about("Rows that came more than once, because the list moved.")]
    rows_without_task_id: Annotated[int, about("Rows that were skipped, since they have no TaskId.")]


class AppDocument(TypedDict):
    """One configured app."""

    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    name: Annotated[str, about("Display name; may be empty.")]
    owner: Annotated[str, about("Its owner; may be empty.")]
    up: Annotated[bool, about("There is an accepted sweep, and the last update and the last sweep were both complete.")]
    state: Annotated[State, about("State of its collection.")]
    reason: Annotated[str, about("Reason for the state in one line; empty while it is ok.")]
    data_available: Annotated[bool, about("False: there is no data, or it is too old.")]
    quota: Annotated[QuotaDocument, about("Its quota.")]
    tasks: Annotated[list[TaskCountDocument] | None, about("Its tasks; null while no data is available.")]
    last_update_timestamp_seconds: Annotated[
        float | None, about("When the last successful update began, in seconds since 1970.")
    ]
    last_sweep_timestamp_seconds: Annotated[
        float | None, about("When the last accepted sweep began, in seconds since 1970.")
    ]
    last_attempt_timestamp_seconds: Annotated[
        float | None, about("When the last attempt of either began, in seconds since 1970.")
    ]
    interval_seconds: Annotated[float, about("The effective interval of updates.")]
    sweep_interval_seconds: Annotated[float, about("The effective interval of sweeps.")]
    stale_after_seconds: Annotated[float, about("The effective age at which data is withdrawn.")]
    interval_stretch_ratio: Annotated[float, about("Above 1 if the budget is too small.")]
    attempts: Annotated[list[AttemptsDocument], about("Attempts by kind and outcome.")]
    sweep: Annotated[SweepDocument | None, about("The last accepted sweep; null: there was none yet.")]


class AppsDocument(TypedDict):
    """All configured apps, in the order of the configuration."""

    apps: Annotated[list[AppDocument], about("The apps.")]


async def apps_text(view: View, _query: Query, _now: float) -> str:
    """Return the response."""
    return json_text(apps_document(view.statuses()))


def apps_document(apps: Iterable[AppView]) -> AppsDocument:
    """Return the response's document."""
    return {"apps": [_app(app.status, app.tasks) for app in apps]}


def _app(status: Status, tasks: Mapping[tuple[str, str], int] | None) -> AppDocument:
    return {
        "account": status.account,
        "app_id": status.app_id,
        "name": status.name,
        "owner": status.owner,
        "up": status.up,
        "state": status.state,
        "reason": status.reason,
        "data_available": status.data_available,
        "quota": {"single": status.quota_single, "mixed": status.quota_mixed},
        "tasks": None if tasks is None else _tasks(tasks),
        "last_update_timestamp_seconds": status.last_update_began,
        "last_sweep_timestamp_seconds": status.last_sweep_began,
        "last_attempt_timestamp_seconds": status.last_attempt_began,
        "interval_seconds": status.interval_seconds,
        "sweep_interval_seconds": status.sweep_interval_seconds,
        "stale_after_seconds": status.stale_after_seconds,
        "interval_stretch_ratio": status.interval_stretch_ratio,
        "attempts": [
            {"kind": kind, "outcome": outcome, "count": count}
            for (kind, outcome), count in sorted(status.attempts.items())
        ],
        "sweep": None if status.sweep is None else _sweep(status.sweep),
    }


def _tasks(tasks: Mapping[tuple[str, str], int]) -> list[TaskCountDocument]:
    return [
        {"task_region": region, "mix_mode": mode, "count": count} for (region, mode), count in sorted(tasks.items())
    ]


def _sweep(sweep: Sweep) -> SweepDocument:
    return {
        "duration_seconds": sweep.duration_seconds,
        "requests": sweep.requests,
        "repaired_tasks": sweep.repaired_tasks,
        "duplicate_rows": sweep.duplicate_rows,
        "rows_without_task_id": sweep.rows_without_task_id,
    }
