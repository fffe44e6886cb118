"""What the rules say about the rows of apps: read, put before the rules one by one, nothing remembered."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from exporter.aliyun.parse_task import read_row
from exporter.collector.inventory import Entry
from exporter.config.model import App
from exporter.config.policy_model import Expect
from exporter.core.task import Task
from exporter.rules.rule import CompiledRule, Outcome
from exporter.rules.subject import Subject, app_facts

Judgements = dict[str, dict[str, Outcome]]  # by rule and TaskId


def evaluate_rows(
    rows_of_apps: Mapping[str, Iterable[bytes]],
    rules: Sequence[CompiledRule],
    expectations: Mapping[str, Expect] | None = None,
) -> dict[str, Judgements]:
    """Return what comes of each rule for each task, by AppId; rows without a TaskId are left out.

    Args:
        rows_of_apps: The rows, by AppId.
        rules: For all apps.
        expectations: What is expected of apps.
    """
    tasks_of_apps = {
        app_id: [task for row in rows if (task := read_row(row, app_id=app_id)) is not None]
        for app_id, rows in rows_of_apps.items()
    }
    users = Counter(url for tasks in tasks_of_apps.values() for task in tasks for url in set(task.stream_digests))
    flags = Counter(flag for tasks in tasks_of_apps.values() for task in tasks for flag in _flags(task))
    evaluated: dict[str, Judgements] = {app_id: {rule.rule.name: {} for rule in rules} for app_id in tasks_of_apps}
    uses = frozenset[str]().union(*(rule.uses for rule in rules))
    for app_id, tasks in tasks_of_apps.items():
        app = app_facts("account", App(id=app_id, expect=(expectations or {}).get(app_id)))
        for task in tasks:
            subject = Subject(
                Entry.of(task, first_seen=0.0, last_changed=0.0, sent_at=0.0),
                app,
                now=time.time(),
                shared_outputs=lambda of: _shared_outputs(of, users),
                cdn_flag_conflicts=lambda of: _cdn_flag_conflicts(of, flags),
            )
            activation = subject.activation(uses)
            for rule in rules:
                evaluated[app_id][rule.rule.name][task.task_id] = rule.evaluate(activation).outcome
    return evaluated


def _flags(task: Task) -> set[tuple[str, bool]]:
    """Return the hosts of a task with what it states about them."""
    outputs = task.configuration.outputs
    return {(one.host, one.is_ali_cdn) for one in outputs if one.host and one.is_ali_cdn is not None}


def _cdn_flag_conflicts(task: Task, flags: Mapping[tuple[str, bool], int]) -> int:
    """Return how many hosts of a task another task flags otherwise."""
    own = _flags(task)
    return len({host for host, flag in own if flags[host, not flag] > ((host, not flag) in own)})


def _shared_outputs(task: Task, users: Mapping[bytes, int]) -> int:
    """Return how many of a task's URLs another task has too."""
    return sum(users[url] > 1 for url in task.stream_digests)
