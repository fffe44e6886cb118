"""Tests of which tasks push to one URL."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from exporter.core.task import Output, Task
from exporter.rules.rule import AppKey
from exporter.rules.shared_outputs import SharedOutputs
from tests.metrics.builders import PLAIN
from tests.support.policy_world import LIVE, OTHER, make_task

_changes = st.lists(
    st.tuples(
        st.sampled_from([LIVE, OTHER]),
        st.sampled_from("abc"),
        st.none() | st.lists(st.integers(1, 4), max_size=3, unique=True),
    ),
    max_size=25,
)


@given(_changes)
def test_counts_are_those_of_the_tasks_and_changes_are_reported(
    changes: list[tuple[AppKey, str, list[int] | None]],
) -> None:
    """After each change every task's number is right, and every other task whose number has moved was touched."""
    touched: set[tuple[AppKey, str]] = set()
    shared = SharedOutputs(lambda app, task_id: touched.add((app, task_id)))
    tasks: dict[tuple[AppKey, str], Task] = {}
    for row, (app, task_id, urls) in enumerate(changes):
        before = _numbers(shared, tasks)
        known = tasks.pop((app, task_id), None)
        after = None if urls is None else make_task(task_id, row, PLAIN, urls=urls)
        touched.clear()
        shared.replace(app, task_id, known, after)
        if after is not None:
            tasks[app, task_id] = after
        now = _numbers(shared, tasks)
        assert now == _expected(tasks)
        moved = {holder for holder in now if holder in before and now[holder] != before[holder]}
        assert moved - {(app, task_id)} <= touched
        assert touched <= tasks.keys() - {(app, task_id)}


_flagged = st.lists(st.tuples(st.sampled_from(["h", "i"]), st.sampled_from([True, False, None])), max_size=3)


@given(
    st.lists(
        st.tuples(st.sampled_from([LIVE, OTHER]), st.sampled_from("abc"), st.none() | _flagged, st.booleans()),
        max_size=25,
    )
)
def test_flags_are_compared_with_those_of_other_tasks(
    changes: list[tuple[AppKey, str, list[tuple[str, bool | None]] | None, bool]],
) -> None:
    """After each change every task's number of conflicts is right, and others whose number has moved were touched."""
    touched: set[tuple[AppKey, str]] = set()
    shared = SharedOutputs(lambda app, task_id: touched.add((app, task_id)))
    tasks: dict[tuple[AppKey, str], Task] = {}
    for row, (app, task_id, flags, removes_app) in enumerate(changes):
        before = _conflicts(shared, tasks)
        touched.clear()
        if removes_app:
            shared.remove_app(app)
            tasks = {holder: task for holder, task in tasks.items() if holder[0] != app}
        else:
            known = tasks.pop((app, task_id), None)
            after = None if flags is None else _flagging(task_id, row, flags)
            shared.replace(app, task_id, known, after)
            if after is not None:
                tasks[app, task_id] = after
        now = _conflicts(shared, tasks)
        assert now == {
            holder: len(
                {
                    one.host
                    for one in task.configuration.outputs
                    for other_holder, other in tasks.items()
                    for another in other.configuration.outputs
                    if other_holder != holder
                    if one.host == another.host
                    if {one.is_ali_cdn, another.is_ali_cdn} == {True, False}
                }
            )
            for holder, task in tasks.items()
        }
        moved = {holder for holder in now if holder in before and now[holder] != before[holder]}
        assert moved - {(app, task_id)} <= touched
        assert (app, task_id) not in touched or removes_app


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


def test_an_app_that_goes_takes_its_tasks_with_it() -> None:
    """A task that shared a URL with an app that is gone is told of, and is alone."""
    touched: list[tuple[AppKey, str]] = []
    shared = SharedOutputs(lambda app, task_id: touched.append((app, task_id)))
    one = make_task("one", 1, PLAIN, urls=[7])
    shared.replace(LIVE, "one", None, one)
    shared.replace(OTHER, "one", None, one)
    assert shared.count(LIVE, one) == 1
    touched.clear()
    shared.remove_app(OTHER)
    assert touched == [(LIVE, "one")]
    assert shared.count(LIVE, one) == 0


def _conflicts(shared: SharedOutputs, tasks: dict[tuple[AppKey, str], Task]) -> dict[tuple[AppKey, str], int]:
    return {(app, task_id): shared.count_flag_conflicts(app, task) for (app, task_id), task in tasks.items()}


def _flagging(task_id: str, row: int, flags: list[tuple[str, bool | None]]) -> Task:
    """Return a task that pushes to hosts with IsAliCdn."""
    outputs = tuple(Output("rtmp", host, is_ali_cdn, has_userinfo=False) for host, is_ali_cdn in flags)
    return make_task(task_id, row, structs.replace(PLAIN, outputs=outputs))


def _numbers(shared: SharedOutputs, tasks: dict[tuple[AppKey, str], Task]) -> dict[tuple[AppKey, str], int]:
    return {(app, task_id): shared.count(app, task) for (app, task_id), task in tasks.items()}


def _expected(tasks: dict[tuple[AppKey, str], Task]) -> dict[tuple[AppKey, str], int]:
    return {
        holder: sum(
            any(digest in other.stream_digests for other_holder, other in tasks.items() if other_holder != holder)
            for digest in task.stream_digests
        )
        for holder, task in tasks.items()
    }
