"""Which tasks have room: never too many series, always the same tasks, hardly another one when one comes or goes."""

from collections.abc import Iterable, Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.metrics.per_task_families import SHARDS, ListedTask, StableSubset, series_of
from tests.metrics.builders import configuration, listed_task
from tests.support.generated import examples

LARGE = configuration(idle_timeout_seconds=60)  # 5 series; a plain task has 4


class Followed:
    """A subset and what is published of it, as anyone who renders it keeps it."""

    def __init__(self, max_series: int) -> None:
        self.subset = StableSubset(max_series)
        self.shards: dict[int, Sequence[ListedTask]] = {}

    def take(self) -> set[int]:
        """Take over the changes; return the shards that they were in."""
        changes = dict(self.subset.take_changes())
        self.shards |= changes
        return set(changes)

    @property
    def published(self) -> set[ListedTask]:
        """All tasks that are published."""
        return {task for tasks in self.shards.values() for task in tasks}

    @property
    def series(self) -> int:
        return sum(series_of(task) for tasks in self.shards.values() for task in tasks)


def followed(tasks: Iterable[ListedTask], max_series: int) -> Followed:
    """Put all tasks in at once."""
    fresh = Followed(max_series)
    for task in tasks:
        fresh.subset.put(task)
    fresh.take()
    return fresh


def test_all_tasks_have_room_where_there_is_room() -> None:
    """Up to the limit itself nothing is left out."""
    tasks = [listed_task(f"task-{number}") for number in range(500)]
    exactly = followed(tasks, 2000)
    assert (exactly.published, exactly.subset.omitted_series) == (set(tasks), 0)
    one_less = followed(tasks, 1999)
    assert (len(one_less.published), one_less.subset.omitted_series) == (499, 4)


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 40), st.sampled_from([LARGE, configuration()])),
        st.tuples(st.just("remove"), st.integers(0, 40), st.none()),
        st.tuples(st.just("remove app"), st.sampled_from([0, 1]), st.none()),
        st.tuples(st.just("take"), st.none(), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=examples(60))
@given(_steps, st.integers(1, 120))
def test_the_choice_depends_on_the_tasks_alone(steps: list[tuple[str, int, object]], max_series: int) -> None:
    """After any steps the published tasks are those that a fresh start would choose; the others are counted."""
    walked = Followed(max_series)
    there: dict[tuple[str, str], ListedTask] = {}
    for step, number, how in steps:
        app_id, task_id = f"app-{(number or 0) % 2}", f"task-{number}"
        if step == "put":
            task = listed_task(task_id, LARGE if how is LARGE else configuration(), app_id=app_id)
            walked.subset.put(task)
            there[app_id, task_id] = task
        elif step == "remove":
            walked.subset.remove("prod", app_id, task_id)
            there.pop((app_id, task_id), None)
        elif step == "remove app":
            walked.subset.remove_app("prod", app_id)
            there = {key: task for key, task in there.items() if key[0] != app_id}
        else:
            walked.take()
    walked.take()
    fresh = followed(there.values(), max_series)
    assert walked.published == fresh.published
    assert walked.series <= max_series
    assert walked.subset.omitted_series == sum(map(series_of, there.values())) - walked.series
    assert walked.subset.omitted_series == 0 or walked.series > max_series - 5


@settings(max_examples=30)
@given(st.integers(50, 300), st.integers(0, 10_000), st.integers(20, 400))
def test_one_more_task_displaces_no_more_than_it_needs(number: int, newcomer: int, max_series: int) -> None:
    """One that comes displaces at most the two that it takes the room of, and when it goes all is as before."""
    tasks = [listed_task(f"task-{each}", LARGE if each % 3 else configuration()) for each in range(number)]
    one = followed(tasks, max_series)
    before = one.published
    new = listed_task(f"new-{newcomer}", LARGE)
    one.subset.put(new)
    one.take()
    assert len(before - one.published) <= 2
    assert one.published - before <= {new}
    one.subset.remove("prod", "live", new.task_id)
    one.take()
    assert one.published == before


def test_the_same_tasks_are_chosen_in_every_process() -> None:
    """The choice is by a hash that does not change: these tasks, after every restart."""
    chosen = followed([listed_task(f"task-{number}") for number in range(20)], 12).published
    assert sorted(task.task_id for task in chosen) == ["task-15", "task-16", "task-8"]


def test_a_change_concerns_its_shard_alone() -> None:
    """A task that changes has its few neighbours rendered again; without a change nobody is."""
    tasks = [listed_task(f"task-{number}") for number in range(3000)]
    all_fit = followed(tasks, 100_000)
    assert all_fit.take() == set()
    all_fit.subset.put(listed_task("task-7", LARGE))
    (shard,) = all_fit.take()
    assert listed_task("task-7", LARGE) in all_fit.shards[shard]
    assert len(all_fit.shards[shard]) < 30


def test_what_lies_beyond_the_border_is_not_rendered() -> None:
    """A change in a task that has no room concerns nobody but the border."""
    tasks = [listed_task(f"task-{number}") for number in range(3000)]
    some_fit = followed(tasks, 4000)
    outside = next(task for task in tasks if task not in some_fit.published)
    border = max(shard for shard, chosen in some_fit.shards.items() if chosen)
    some_fit.subset.put(listed_task(outside.task_id, LARGE))
    assert some_fit.take() <= {border, border + 1}


def test_equal_ids_of_two_apps_are_two_tasks() -> None:
    """A TaskId names a task within its app."""
    both = followed([listed_task("task-1", app_id="one"), listed_task("task-1", app_id="two")], 100)
    assert len(both.published) == 2
    both.subset.remove("prod", "one", "task-1")
    both.take()
    assert [task.app_id for task in both.published] == ["two"]


def test_tasks_are_spread_over_the_shards() -> None:
    """No shard becomes so large that rendering it would be felt."""
    spread: Mapping[int, Sequence[ListedTask]] = followed(
        [listed_task(f"task-{number}") for number in range(10 * SHARDS)], 10**6
    ).shards
    assert max(map(len, spread.values())) < 40
