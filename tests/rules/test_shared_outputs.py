"""Tests of which tasks push to one URL, and of what they state about one host."""

from collections.abc import Mapping
from typing import TypeAlias

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from exporter.core.task import Output, Task
from exporter.rules.rule import AppKey
from exporter.rules.shared_outputs import SharedOutputs
from tests.metrics.builders import PLAIN
from tests.support.generated import examples
from tests.support.policy_world import LIVE, OTHER, make_task

Tasks: TypeAlias = Mapping[tuple[AppKey, str], Task]

_flags = st.sampled_from([(host, flag) for host in "hi" for flag in (True, False, None)])
_pushes = st.tuples(st.lists(st.integers(1, 3), max_size=2, unique=True), st.lists(_flags, max_size=2))
_change = st.one_of(_pushes, _pushes, st.none(), _pushes, _pushes, st.none(), st.just("app goes"))
_changes = st.lists(
    st.tuples(st.sampled_from([LIVE, LIVE, OTHER]), st.sampled_from("abc"), _change), min_size=10, max_size=25
)


@settings(max_examples=2 * examples(100))
@given(_changes)
@example([(LIVE, "a", ([], [("h", True)])), (OTHER, "b", ([], [("h", False)])), (OTHER, "b", "app goes")])
def test_numbers_are_those_of_the_tasks_and_changes_are_reported(
    changes: list[tuple[AppKey, str, str | tuple[list[int], list[tuple[str, bool | None]]] | None]],
) -> None:
    """After each change both numbers of every task are right, and all others of which one has moved were touched."""
    touched: set[tuple[AppKey, str]] = set()
    shared = SharedOutputs(lambda app, task_id: touched.add((app, task_id)))
    tasks: dict[tuple[AppKey, str], Task] = {}
    for row, (app, task_id, pushes) in enumerate(changes):
        before = _numbers(shared, tasks)
        touched.clear()
        if isinstance(pushes, str):
            shared.remove_app(app)
            tasks = {holder: task for holder, task in tasks.items() if holder[0] != app}
        else:
            after = None if pushes is None else _task(task_id, row, *pushes)
            shared.replace(app, task_id, tasks.pop((app, task_id), None), after)
            if after is not None:
                tasks[app, task_id] = after
            assert (app, task_id) not in touched
        now = _numbers(shared, tasks)
        assert now == {holder: (_shared(holder, tasks), _conflicts(holder, tasks)) for holder in tasks}
        moved = {holder for holder in now if holder in before and now[holder] != before[holder]}
        assert moved - {(app, task_id)} <= touched <= tasks.keys()


def test_a_version_that_is_reported_twice_counts_once() -> None:
    """Telling again what is known neither counts nor touches anything."""
    touched: list[tuple[AppKey, str]] = []
    shared = SharedOutputs(lambda app, task_id: touched.append((app, task_id)))
    one, two = make_task("one", 1, PLAIN, urls=[7]), make_task("two", 2, PLAIN, urls=[7])
    shared.replace(LIVE, "one", None, one)
    shared.replace(LIVE, "two", None, two)
    assert touched == [(LIVE, "one")]
    shared.replace(LIVE, "two", two, two)
    shared.replace(LIVE, "two", None, two)
    assert touched == [(LIVE, "one")]
    assert shared.count(LIVE, one) == shared.count(LIVE, two) == 1


def _task(task_id: str, row: int, urls: list[int], flags: list[tuple[str, bool | None]]) -> Task:
    """Return a task that pushes to some streams, and to hosts with IsAliCdn."""
    outputs = tuple(Output("rtmp", host, is_ali_cdn, has_userinfo=False) for host, is_ali_cdn in flags)
    pushing = make_task(task_id, row, PLAIN, urls=urls)
    return structs.replace(pushing, configuration=structs.replace(PLAIN, outputs=outputs))


def _numbers(shared: SharedOutputs, tasks: Tasks) -> dict[tuple[AppKey, str], tuple[int, int]]:
    return {
        (app, task_id): (shared.count(app, task), shared.count_flag_conflicts(app, task))
        for (app, task_id), task in tasks.items()
    }


def _shared(holder: tuple[AppKey, str], tasks: Tasks) -> int:
    """Return how many of a task's streams another one pushes to."""
    others = {digest for other, task in tasks.items() if other != holder for digest in task.stream_digests}
    return len(others.intersection(tasks[holder].stream_digests))


def _conflicts(holder: tuple[AppKey, str], tasks: Tasks) -> int:
    """Return how many of a task's hosts another one flags otherwise."""
    others = [one for other, task in tasks.items() if other != holder for one in task.configuration.outputs]
    return len(
        {
            one.host
            for one in tasks[holder].configuration.outputs
            for another in others
            if one.host == another.host
            if {one.is_ali_cdn, another.is_ali_cdn} == {True, False}
        }
    )
