"""The JSON that scripts read. What is not known is null, never 0."""

from collections.abc import Iterable, Mapping
from typing import Any

from exporter.collect.status import Status, Sweep
from exporter.web.view import AppView


def apps_document(apps: Iterable[AppView]) -> dict[str, Any]:
    """Return the answer of `/api/v1/apps`; times are seconds since 1970."""
    return {"apps": [_app(app.status, app.tasks) for app in apps]}


def _app(status: Status, tasks: Mapping[tuple[str, str], int] | None) -> dict[str, Any]:
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


def _tasks(tasks: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    return [
        {"task_region": region, "mix_mode": mode, "count": count} for (region, mode), count in sorted(tasks.items())
    ]


def _sweep(sweep: Sweep) -> dict[str, Any]:
    return {
        "duration_seconds": sweep.duration_seconds,
        "requests": sweep.requests,
        "repaired_tasks": sweep.repaired_tasks,
        "duplicate_rows": sweep.duplicate_rows,
        "rows_without_task_id": sweep.rows_without_task_id,
    }
