"""Which tasks violate the default rules, by code of its own; and what should be published about a running simulator."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from tests.oracle.metrics_truth import truth_of_app
from tests.oracle.push_auth import stream_of
from tests.oracle.rule_checks import CHECKS
from tests.oracle.written_task import WrittenTask, host_of, read_task
from tests.support.http import ask

SHARED: Final = "push-stream-shared"
FLAGGED: Final = "ali-cdn-flag-mismatch"  # these two rules look at other tasks too


def rule_truth(rows_of_apps: Mapping[str, Iterable[bytes]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what an exporter that has all these apps should find in each.

    Returns:
        By app and rule: `violations`, a list of TaskIds in the order of the rows; `evaluated`, the number of tasks
        that pass or violate it; `not_applicable`, the number of the others.
    """
    tasks_of_apps = {
        app_id: [task for task in map(read_task, rows) if task is not None] for app_id, rows in rows_of_apps.items()
    }
    users_of_streams = Counter(
        stream for tasks in tasks_of_apps.values() for task in tasks for stream in set(map(stream_of, task.urls))
    )
    flags = Counter(flag for tasks in tasks_of_apps.values() for task in tasks for flag in _flags(task))
    return {app_id: _evaluated(tasks, users_of_streams, flags) for app_id, tasks in tasks_of_apps.items()}


def _flags(task: WrittenTask) -> set[tuple[str, bool]]:
    """Return the hosts of a task with what it states about them."""
    return {(host_of(url), flag) for url, flag in task.urls.items() if flag is not None}


def _evaluated(
    tasks: list[WrittenTask], users_of_streams: Mapping[str, int], flags: Mapping[tuple[str, bool], int]
) -> dict[str, dict[str, Any]]:

    def is_shared(task: WrittenTask) -> bool | None:
        return any(users_of_streams[stream_of(url)] > 1 for url in task.urls) if task.urls else None

    def is_flagged_otherwise(task: WrittenTask) -> bool | None:
        own = _flags(task)
        otherwise = [flags[host, not flag] > ((host, not flag) in own) for host, flag in own if host]
        return any(otherwise) if own else None

    checks = {**CHECKS, SHARED: is_shared, FLAGGED: is_flagged_otherwise}
    return {name: _counted([(task.task_id, check(task)) for task in tasks]) for name, check in checks.items()}


def _counted(evaluations: list[tuple[str, bool | None]]) -> dict[str, Any]:
    not_applicable = sum(violated is None for _, violated in evaluations)
    return {
        "violations": [task_id for task_id, violated in evaluations if violated],
        "evaluated": len(evaluations) - not_applicable,
        "not_applicable": not_applicable,
    }


SLOW_SECONDS = 120.0  # a simulator with many tasks needs some seconds for its answer


class ListedApp(Struct, frozen=True):
    """One app as the simulator lists it."""

    rows: list[msgspec.Raw]
    marked: Mapping[str, list[str]]  # TaskIds by what is wrong with them on purpose


Fleet: TypeAlias = Mapping[str, ListedApp]


def listed_fleet(simulator: str) -> Fleet:
    """Ask the simulator at this URL for all its apps at one moment."""
    answer = ask(f"{simulator}/-/fleet", seconds=SLOW_SECONDS)
    assert answer.status == 200, answer.text
    return msgspec.json.decode(answer.body, type=dict[str, ListedApp])


def true_metrics(fleet: Fleet) -> Mapping[str, Mapping[str, Any]]:
    """Return the samples that an exporter should publish, by AppId and metric."""
    return {app_id: truth_of_app(map(bytes, app.rows))["samples"] for app_id, app in fleet.items()}


def true_violations(fleet: Fleet) -> Mapping[str, Mapping[str, Any]]:
    """Return what an exporter should find, by AppId and rule."""
    return rule_truth({app_id: map(bytes, app.rows) for app_id, app in fleet.items()})
