"""A task is never reported removed, changed or missing by mistake, whatever a list or a lookup answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from zlib import crc32

import pytest

from exporter.collector.absences import MOST_LOOKUPS_FOR_PROOF, PROOFS_OF_LARGE_LOSS
from exporter.collector.reading import Window
from exporter.collector.status import Kind
from exporter.core.collection_state import State
from tests.support.moving_list import (
    PAGE,
    MovingList,
    Scene,
    all_of,
    failing,
    listed,
    nothing,
    shown,
    status_of,
    sweep_of,
    wants_sweep,
)
from tests.support.virtual_time import on_virtual_time

PageOf = Callable[[list[str], Window], Sequence[str]]


def documented(order: list[str], window: Window) -> Sequence[str]:
    """Answer as documented."""
    return order[window.start : window.end]


def cap_size(most: int) -> PageOf:
    """Cap PageSize before the offset is computed."""

    def page_of(order: list[str], window: Window) -> Sequence[str]:
        size = min(most, window.page_size)
        return order[(window.page_no - 1) * size :][:size]

    return page_of


def cap_rows(most: int) -> PageOf:
    """Give no more than some rows of the window that was asked for."""
    return lambda order, window: documented(order, window)[:most]


def ignore_size(size: int) -> PageOf:
    """Give pages of one size."""
    return lambda order, window: order[(window.page_no - 1) * size :][:size]


def hide_after_paging(order: list[str], window: Window) -> Sequence[str]:
    """Leave some rows out of each page, which is short then."""
    return [task_id for task_id in documented(order, window) if crc32(task_id.encode()) % 10]


def once(page_of: PageOf, at: Callable[[Window], bool]) -> PageOf:
    """Answer one window in another way, once."""
    done = False

    def answer(order: list[str], window: Window) -> Sequence[str]:
        nonlocal done
        if not done and at(window):
            done = True
            return page_of(order, window)
        return documented(order, window)

    return answer


def at_row(row: int) -> Callable[[Window], bool]:
    """Choose a window that holds a row."""
    return lambda window: window.start <= row < window.end


def always_at(page_of: PageOf, chosen: Window) -> PageOf:
    """Answer one window in another way, each time."""
    return lambda order, window: (page_of if window == chosen else documented)(order, window)


ENDS: dict[str, PageOf] = {
    **{f"PageSize is capped at {most}": cap_size(most) for most in (1, 3, 7, 8, 9, 11)},
    **{f"pages are cut after {most} rows": cap_rows(most) for most in (1, 3, 7, 8, 9, 11)},
    **{f"always {size} rows": ignore_size(size) for size in (1, 4, 7, 10, 11)},
    **{
        f"{rows} rows once in the page at row {row}": once(cap_rows(rows), at_row(row))
        for rows in (0, 1, 5, 11)
        for row in (0, 13, 50, 99)
    },
    "a row left out once": once(lambda order, window: documented(order, window)[1:], at_row(50)),
    "a row left out of the last page": once(lambda order, window: documented(order, window)[:1], at_row(97)),
    "one window always short": always_at(cap_rows(7), Window(3, PAGE)),
    "the last page again": lambda order, window: (
        documented(order, window) or order[(len(order) - 1) // window.page_size * window.page_size :]
    ),
}


@pytest.mark.parametrize("tasks", [100, 103, 5])
@pytest.mark.parametrize("end", ENDS)
@on_virtual_time
async def test_a_short_page_is_no_end_of_the_list(end: str, tasks: int) -> None:
    """Whatever makes pages short, all tasks are read and the state is ok."""
    scene = Scene(tasks)
    scene.service.page_of_list = ENDS[end]
    await scene.collector.sweep()
    assert status_of(scene).state is State.OK
    assert shown(scene.collector) == listed(scene.list)
    await asyncio.sleep(2)
    scene.list.delete("task-2")
    scene.list.update("task-1")
    await scene.collector.update()
    await scene.collector.sweep()
    assert status_of(scene).state is State.OK
    assert shown(scene.collector) == listed(scene.list)


@on_virtual_time
async def test_pages_that_hide_rows_are_read_to_their_end() -> None:
    """Where each page lacks some rows, the others are read, and again to the same result."""
    scene = Scene(100)
    scene.service.page_of_list = hide_after_paging
    await scene.collector.sweep()
    assert status_of(scene).state is State.OK
    assert shown(scene.collector).keys() == set(hide_after_paging(scene.list.order, Window(1, 100)))


@pytest.mark.parametrize("rows", [40, 57])
@on_virtual_time
async def test_a_list_that_is_cut_is_partial_and_says_where(rows: int) -> None:
    """Lookups find tasks that the list does not show: nothing is removed, and the reason has the row."""
    scene = Scene(60)
    await scene.start()
    everything = shown(scene.collector)
    scene.service.page_of_list = lambda order, window: documented(order[:rows], window)
    for _ in range(3):
        await scene.collector.sweep()
        await asyncio.sleep(6)
    assert status_of(scene).state is State.PARTIAL
    assert f"row {rows}" in status_of(scene).reason
    assert scene.reported.take() == []
    assert shown(scene.collector) == everything
    scene.service.page_of_list = None
    await scene.collector.sweep()
    assert status_of(scene).state is State.OK


@on_virtual_time
async def test_a_list_that_was_cut_stays_cut_while_most_of_what_it_hides_is_deleted() -> None:
    """A sample would find deleted tasks alone then: each removal needs its own lookup, and the others stay."""
    scene = Scene(100)
    await scene.start()
    scene.service.page_of_list = lambda order, window: documented(order[:50], window)
    await scene.collector.sweep()
    await scene.collector.update()
    hidden = sorted(scene.list.order[50:], key=lambda task_id: crc32(task_id.encode()))
    all_of(scene.list.delete, hidden[:45])()
    for _ in range(3):
        await asyncio.sleep(6)
        await scene.collector.sweep()
        assert (status_of(scene).state, "row 50" in status_of(scene).reason) == (State.PARTIAL, True)
        assert not wants_sweep(scene)
    assert sorted(scene.reported.take()) == sorted(("removed", task_id) for task_id in hidden[:45])
    assert shown(scene.collector) == listed(scene.list)
    scene.service.page_of_list = None
    await scene.collector.sweep()
    assert status_of(scene).state is State.OK


@on_virtual_time
async def test_tasks_that_wait_for_their_lookups_do_not_stand_for_others() -> None:
    """Lookups are refused while many tasks are deleted; then the list is cut: a sample would miss what it hides."""
    scene = Scene(100)
    await scene.start()
    scene.service.before_look_up = _refuse
    crowd = sorted(scene.list.order, key=lambda task_id: crc32(task_id.encode()))
    all_of(scene.list.delete, crowd[:30])()
    scene.service.before_answer = lambda: scene.list.resave(scene.list.order[-1])
    await scene.collector.sweep()
    assert status_of(scene).doubtful_tasks == 30
    await asyncio.sleep(301)
    scene.service.before_answer, scene.service.before_look_up = nothing, None
    scene.service.page_of_list = lambda order, window: documented(order[:65], window)
    everything = listed(scene.list).keys()
    await scene.collector.sweep()
    assert shown(scene.collector).keys() >= everything


LOSSES: dict[str, Callable[[list[str]], list[str]]] = {
    "all": lambda _order: [],
    "most": lambda order: order[:4],
    "more than a third": lambda order: order[:38],
}


@pytest.mark.parametrize("tasks", [60, 10])
@pytest.mark.parametrize("loss", LOSSES)
@on_virtual_time
async def test_a_large_loss_needs_lookups_that_confirm_it(loss: str, tasks: int) -> None:
    """A list that is suddenly short loses nothing while its tasks are found, and all of it once they are not."""
    scene = Scene(tasks, largest_page=100)
    await scene.start()
    everything, order = shown(scene.collector), list(scene.list.order)
    kept = LOSSES[loss](order)
    scene.service.page_of_list = lambda _order, window: documented(kept, window)
    for _ in range(3):
        await scene.collector.update()
        await scene.collector.sweep()
        assert shown(scene.collector) == everything
        assert status_of(scene).state is (State.PARTIAL if len(kept) < tasks * 2 // 3 else State.OK)
        await asyncio.sleep(1)
    assert scene.reported.take() == []
    all_of(scene.list.delete, [task_id for task_id in order if task_id not in kept])()
    scene.service.page_of_list = None
    scene.service.requests.clear()
    await scene.collector.sweep()
    await scene.collector.update()
    assert status_of(scene).state is State.OK
    assert shown(scene.collector) == listed(scene.list)
    # What was found though the list did not show it needs its own lookup.
    assert len(scene.look_ups()) <= max(tasks - len(kept), PROOFS_OF_LARGE_LOSS)


@pytest.mark.parametrize("tasks", [60, 5])
@on_virtual_time
async def test_an_update_believes_no_page_of_other_tasks(tasks: int) -> None:
    """As in a sweep nothing of it is shown, until lookups confirm that the tasks before them are gone."""
    scene = Scene(tasks)
    await scene.start()
    everything, own = shown(scene.collector), list(scene.list.order)
    others = [scene.list.create() for _ in range(20)]
    scene.service.page_of_list = lambda _order, window: documented(others, window)
    for answered_with, state in ((others[3], State.INVALID_RESPONSE), (None, State.PARTIAL)):
        scene.service.answers_look_ups_with = answered_with
        await scene.collector.update()
        assert status_of(scene).state is state
        assert shown(scene.collector) == everything
    all_of(scene.list.delete, own)()
    await asyncio.sleep(1)
    await scene.collector.update()
    assert status_of(scene).state is State.OK
    assert set(others) <= set(shown(scene.collector))
    await scene.collector.sweep()
    assert shown(scene.collector) == listed(scene.list)


@on_virtual_time
async def test_an_update_believes_no_page_of_other_tasks_while_a_sweep_reads() -> None:
    """That a sweep is under way, which may fail, is no reason to believe them."""
    scene = Scene(60)
    await scene.start()
    everything = shown(scene.collector)
    others = [scene.list.create() for _ in range(20)]
    scene.service.page_of_list = lambda _order, window: documented(others, window)
    sweeping = asyncio.ensure_future(scene.collector.sweep())
    await asyncio.sleep(0.01)
    await scene.collector.update()
    assert not sweeping.done()
    assert shown(scene.collector) == everything
    await sweeping
    assert scene.reported.take() == []


@pytest.mark.parametrize("seconds_between", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("sweep_is_first", [True, False])
@on_virtual_time
async def test_an_update_and_a_sweep_may_both_prove_a_large_loss(sweep_is_first: bool, seconds_between: float) -> None:
    """What one of them begins to look up takes nothing from what the other one has proven."""
    scene = Scene(5)
    await scene.start()
    scene.service.before_look_up = lambda task_id: asyncio.sleep(0.1 * int(task_id.removeprefix("task-")))
    all_of(scene.list.delete, list(scene.list.order))()
    turns = [scene.collector.update, scene.collector.sweep]
    first, second = reversed(turns) if sweep_is_first else turns
    running = asyncio.ensure_future(first())
    await asyncio.sleep(seconds_between)
    await asyncio.gather(running, second())
    assert {outcome for _, outcome in status_of(scene).attempts} == {State.OK}
    assert shown(scene.collector) == {}


@pytest.mark.parametrize("kept", [0, 4, 90, 299])
@on_virtual_time
async def test_a_loss_at_rest_takes_few_lookups(kept: int) -> None:
    """Where the list does not move, a sample of the tasks that it does not show any more stands for all."""
    scene = Scene(300)
    await scene.start()
    all_of(scene.list.delete, scene.list.order[kept:])()
    await scene.collector.sweep()
    assert (status_of(scene).state, status_of(scene).doubtful_tasks) == (State.OK, 0)
    assert shown(scene.collector) == listed(scene.list)
    assert len(scene.look_ups()) <= PROOFS_OF_LARGE_LOSS + MOST_LOOKUPS_FOR_PROOF
    assert sweep_of(scene).repaired_tasks == 0


@on_virtual_time
async def test_a_large_loss_is_not_believed_while_lookups_fail() -> None:
    """Data is kept and the state is partial; as soon as five lookups answer, the loss is accepted."""
    scene = Scene(60)
    await scene.start()
    all_of(scene.list.delete, scene.list.order[5:])()
    scene.service.before_look_up = _refuse
    await scene.collector.sweep()
    assert (status_of(scene).state, wants_sweep(scene)) == (State.PARTIAL, True)
    assert status_of(scene).doubtful_tasks == 55
    assert len(shown(scene.collector)) == 60
    scene.service.before_look_up = None
    await scene.collector.sweep()
    assert (status_of(scene).state, status_of(scene).doubtful_tasks) == (State.OK, 0)
    assert shown(scene.collector) == listed(scene.list)


def answered(times: int) -> Callable[[str], Awaitable[None]]:
    """Return what answers some lookups and refuses all others."""
    left = iter(range(times))

    async def look_up(task_id: str) -> None:
        if next(left, None) is None:
            await _refuse(task_id)

    return look_up


@pytest.mark.parametrize("kind", list(Kind))
@on_virtual_time
async def test_confirmed_lookups_of_a_large_loss_add_up_over_attempts(kind: Kind) -> None:
    """Where few lookups of each attempt are answered, the third one has five; no task is looked up twice for it."""
    scene = Scene(60, largest_page=100)
    await scene.start()
    all_of(scene.list.delete, scene.list.order[5:])()
    for state in (State.PARTIAL, State.PARTIAL, State.OK):
        assert len(shown(scene.collector)) == 60
        scene.service.before_look_up = answered(2)
        await (scene.collector.update() if kind is Kind.UPDATE else scene.collector.sweep())
        assert status_of(scene).state is state
    scene.service.before_look_up = None
    await asyncio.sleep(10)
    await scene.collector.sweep()
    assert shown(scene.collector) == listed(scene.list)


@on_virtual_time
async def test_lookups_that_confirm_a_loss_at_the_end_of_a_list_say_nothing_of_a_task_above_it() -> None:
    """It is gone if a lookup of its own finds it gone, or one of another task that was above the end."""
    scene = Scene(60)
    await scene.start()
    hidden = scene.list.order[10]
    all_of(scene.list.delete, scene.list.order[35:])()
    scene.service.page_of_list = lambda order, window: documented([each for each in order if each != hidden], window)

    async def refuse_hidden(task_id: str) -> None:
        if task_id == hidden:
            await _refuse(task_id)

    scene.service.before_look_up = refuse_hidden
    await scene.collector.sweep()
    assert status_of(scene).state is State.OK
    await asyncio.sleep(60)
    assert hidden in shown(scene.collector)
    scene.service.before_look_up = None
    await scene.collector.sweep()
    await asyncio.sleep(60)
    assert hidden in shown(scene.collector)


@on_virtual_time
async def test_lookups_after_updates_confirm_a_large_loss_too() -> None:
    """They remove their tasks one by one, and whatever they found gone need not be found by an attempt again."""
    scene = Scene(300)
    await scene.start()
    all_of(scene.list.delete, scene.list.order[100:])()
    scene.service.before_look_up = answered(1)
    await scene.collector.sweep()
    assert (status_of(scene).state, len(shown(scene.collector))) == (State.PARTIAL, 300)
    scene.service.before_look_up = answered(4)
    await scene.collector.update()
    assert len(scene.reported.take()) == 4
    scene.service.before_look_up = answered(0)
    await scene.collector.sweep()
    assert status_of(scene).state is State.OK


@on_virtual_time
async def test_confirmed_lookups_say_nothing_of_a_loss_that_has_grown() -> None:
    """Four tasks of a loss are gone, then the list shows no task at all: the fifth must not stand for all others."""
    scene = Scene(60, largest_page=100)
    await scene.start()
    order = sorted(scene.list.order, key=lambda task_id: crc32(task_id.encode()))
    all_of(scene.list.delete, order[:30])()
    scene.service.before_look_up = answered(4)
    await scene.collector.sweep()
    scene.service.page_of_list = lambda _order, _window: []
    for _ in range(3):
        scene.service.before_look_up = answered(1)
        await scene.collector.sweep()
        assert status_of(scene).state is State.PARTIAL
    assert scene.reported.take() == []


@on_virtual_time
async def test_confirmed_lookups_say_nothing_once_another_one_finds_its_task() -> None:
    """Four tasks are gone, and the fifth is there: the list hides tasks, so that five others have to be gone."""
    scene = Scene(60, largest_page=100)
    await scene.start()
    order = sorted(scene.list.order, key=lambda task_id: crc32(task_id.encode()))
    scene.service.page_of_list = lambda _order, _window: []
    all_of(scene.list.delete, order[:4])()
    await scene.collector.sweep()
    scene.list.delete(order[4])
    scene.service.before_look_up = answered(1)
    await scene.collector.sweep()
    assert (status_of(scene).state, scene.reported.take()) == (State.PARTIAL, [])


@on_virtual_time
async def test_a_confirmed_lookup_says_nothing_of_a_task_that_is_listed_again() -> None:
    """Four tasks were gone, are created again, shown to an update and then hidden: they confirm no loss."""
    scene = Scene(300)
    await scene.start()
    all_of(scene.list.delete, scene.list.order[100:])()
    gone: list[str] = []

    async def answer_four(task_id: str) -> None:
        if len(gone) == 4:
            await _refuse(task_id)
        gone.append(task_id)

    scene.service.before_look_up = answer_four
    await scene.collector.sweep()
    scene.list.order, scene.list.versions = [*gone, *scene.list.order], scene.list.versions | dict.fromkeys(gone, 1)
    await scene.collector.update()
    scene.list.order = scene.list.order[4:]
    await asyncio.sleep(2)
    answer = answered(1)
    scene.service.before_look_up = lambda task_id: (_refuse if task_id in gone else answer)(task_id)
    await scene.collector.sweep()
    assert (status_of(scene).state, scene.reported.take()) == (State.PARTIAL, [])


@on_virtual_time
async def test_a_proven_loss_says_nothing_of_tasks_that_are_created_again() -> None:
    """Many tasks are gone, are created again under their TaskIds, and are then hidden: that needs five lookups, too."""
    scene = Scene(60, largest_page=100)
    await scene.start()
    lost = list(scene.list.order[5:])
    all_of(scene.list.delete, lost)()
    await scene.collector.sweep()
    created = [task_id for task_id in lost if task_id not in scene.look_ups()]
    scene.list.order, scene.list.versions = created + scene.list.order, scene.list.versions | dict.fromkeys(created, 1)
    await asyncio.sleep(2)
    await scene.collector.update()
    assert len(shown(scene.collector)) == 5 + len(created)
    await asyncio.sleep(2)
    scene.list.order = scene.list.order[-5:]
    scene.service.before_look_up = _refuse
    await scene.collector.sweep()
    assert status_of(scene).state is State.PARTIAL


@on_virtual_time
async def test_a_proven_loss_says_nothing_of_a_later_one() -> None:
    """Though a task is left of it that no lookup settles, the loss of all others needs lookups of its own."""
    scene = Scene(60, largest_page=100)
    await scene.start()
    left = scene.list.order[-1]

    async def refuse_one(task_id: str) -> None:
        if task_id == left:
            await _refuse(task_id)

    scene.service.before_look_up = refuse_one
    for lost in ([left], scene.list.order[5:-1]):
        all_of(scene.list.delete, lost)()
        await scene.collector.sweep()
    assert (status_of(scene).state, len(shown(scene.collector))) == (State.OK, 6)
    scene.service.page_of_list = lambda _order, _window: []
    scene.service.before_look_up = _refuse
    await scene.collector.sweep()
    assert status_of(scene).state is State.PARTIAL


@pytest.mark.parametrize("kind", list(Kind))
@on_virtual_time
async def test_a_large_loss_that_waits_for_its_lookups_is_partial(kind: Kind) -> None:
    """The state does not stay `ok` until the attempt ends, and is `ok` again as soon as the lookups have answered."""
    scene = Scene(60, largest_page=100)
    await scene.start()
    all_of(scene.list.delete, scene.list.order[5:])()
    scene.service.before_look_up = lambda _task_id: asyncio.sleep(14)
    attempt = asyncio.ensure_future(scene.collector.update() if kind is Kind.UPDATE else scene.collector.sweep())
    await asyncio.sleep(12)
    scene.collector.look_at_clock()
    assert (status_of(scene).state, len(shown(scene.collector))) == (State.PARTIAL, 60)
    assert {outcome for _, outcome in status_of(scene).attempts} == {State.OK}
    await attempt
    assert status_of(scene).state is State.OK


@on_virtual_time
async def test_a_large_loss_that_is_soon_proven_is_never_partial() -> None:
    """Lookups that answer as fast as they do mostly show in no state."""
    scene = Scene(60, largest_page=100)
    await scene.start()
    all_of(scene.list.delete, scene.list.order[5:])()
    scene.service.before_look_up = lambda _task_id: asyncio.sleep(0.5)
    attempt = asyncio.ensure_future(scene.collector.sweep())
    while not attempt.done():
        scene.collector.look_at_clock()
        assert status_of(scene).state is State.OK
        await asyncio.sleep(0.5)
    assert shown(scene.collector) == listed(scene.list)


@on_virtual_time
async def test_a_proof_of_what_a_sweep_has_settled_does_not_show() -> None:
    """Lookups of an update still hang when a sweep has found out what became of all tasks."""
    scene = Scene(60, largest_page=100)
    await scene.start()
    all_of(scene.list.delete, scene.list.order)()
    scene.service.before_look_up = _hang
    update = asyncio.ensure_future(scene.collector.update())
    await asyncio.sleep(1)
    scene.service.before_look_up = None
    await scene.collector.sweep()
    await asyncio.sleep(12)
    scene.collector.look_at_clock()
    assert (status_of(scene).state, update.done(), shown(scene.collector)) == (State.OK, False, {})
    await update


@on_virtual_time
async def test_updates_do_not_disturb_the_proof_of_a_sweep() -> None:
    """What an update finds gone meanwhile is not mixed up with the sample that stands for all of the loss."""
    scene = Scene(100, largest_page=100)
    await scene.start()

    async def slow(_task_id: str) -> None:
        await asyncio.sleep(1)

    async def update_during_the_proof() -> None:
        await asyncio.sleep(1.5)
        await scene.collector.update()

    all_of(scene.list.delete, scene.list.order[20:])()
    scene.service.before_look_up = slow
    await asyncio.gather(scene.collector.sweep(), update_during_the_proof())
    assert (status_of(scene).state, shown(scene.collector)) == (State.OK, listed(scene.list))
    assert len(scene.look_ups()) <= 2 * PROOFS_OF_LARGE_LOSS + MOST_LOOKUPS_FOR_PROOF


async def _refuse(_task_id: str) -> None:
    raise failing(State.SERVER_ERROR)


async def _hang(_task_id: str) -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize("lookup", [_refuse, _hang])
@on_virtual_time
async def test_a_lookup_without_an_answer_leaves_its_task_in_doubt(lookup: Callable[[str], Awaitable[None]]) -> None:
    """The sweep is accepted first, the task is kept and counted, and others are settled."""
    scene = Scene(100)
    await scene.start()

    async def fail(task_id: str) -> None:
        if task_id == "task-3":
            await lookup(task_id)

    scene.service.before_look_up = fail
    scene.service.before_answer = lambda: scene.list.resave(scene.list.order[-1])
    all_of(scene.list.delete, ["task-3", "task-4"])()
    scene.list.update("task-5")
    states: list[State] = []
    scene.reported.on_sweep = lambda: states.append(status_of(scene).state)
    await scene.collector.sweep()
    assert states == [State.OK]
    for _ in range(3):
        await scene.collector.update()
        await scene.collector.sweep()
        assert (status_of(scene).state, status_of(scene).doubtful_tasks) == (State.OK, 1)
    assert sorted(scene.reported.take()) == [("modified", "task-5"), ("removed", "task-4")]
    scene.service.before_look_up = None
    await asyncio.sleep(301)
    await scene.collector.update()
    assert status_of(scene).doubtful_tasks == 0
    assert shown(scene.collector) == listed(scene.list)


@on_virtual_time
async def test_a_list_that_is_at_rest_settles_doubts_by_itself() -> None:
    """Where no lookup is answered, two sweeps in succession that prove the same are enough for small losses."""
    scene = Scene(100)
    await scene.start()
    scene.service.before_look_up = _refuse
    all_of(scene.list.delete, scene.list.order[50:70])()
    await scene.collector.sweep()
    assert (status_of(scene).doubtful_tasks, scene.reported.take()) == (20, [])
    await scene.collector.sweep()
    assert (status_of(scene).doubtful_tasks, len(scene.reported.take())) == (0, 20)
    assert shown(scene.collector) == listed(scene.list)


@on_virtual_time
async def test_a_task_that_is_listed_between_two_sweeps_is_not_gone() -> None:
    """Two sweeps that do not show it prove nothing if one between them does, though no lookup is answered."""
    scene = Scene(100)
    await scene.start()
    scene.service.before_look_up = _refuse
    order = list(scene.list.order)
    for shown_tasks in (order[:50] + order[51:], order, order[:50] + order[51:]):
        scene.list.order = list(shown_tasks)
        await scene.collector.sweep()
        assert (status_of(scene).doubtful_tasks, scene.reported.take()) == (len(order) - len(shown_tasks), [])
    await scene.collector.sweep()
    assert [change for change, _ in scene.reported.take()] == ["removed"]


@on_virtual_time
async def test_a_row_without_a_task_id_may_be_that_of_a_task_in_doubt() -> None:
    """A list at rest that has such a row proves nothing about a task that it does not show."""
    scene, row = Scene(100), MovingList.row
    await scene.start()
    scene.service.before_look_up = _refuse
    scene.list.row = lambda task_id: {**row(scene.list, task_id), "TaskId": [] if task_id == "task-50" else task_id}  # type: ignore[method-assign]
    for _ in range(4):
        await scene.collector.sweep()
        await asyncio.sleep(6)
    assert (status_of(scene).doubtful_tasks, scene.reported.take()) == (1, [])
    assert sweep_of(scene).rows_without_task_id == 1


@on_virtual_time
async def test_a_list_that_may_be_cut_settles_no_doubts() -> None:
    """What was at the end of the list may be cut off: without an answered lookup it is never gone."""
    scene = Scene(100)
    await scene.start()
    scene.service.before_look_up = _refuse
    scene.service.page_of_list = lambda order, window: documented(order[:90], window)
    for _ in range(4):
        await scene.collector.sweep()
        await asyncio.sleep(6)
    assert (status_of(scene).doubtful_tasks, scene.reported.take()) == (10, [])


@on_virtual_time
async def test_a_task_that_is_in_doubt_and_seen_again_is_kept() -> None:
    """What a later reading shows is not in doubt any more, and is not looked up."""
    scene = Scene(60)
    await scene.start()
    scene.service.before_look_up = _refuse
    scene.service.page_of_list = lambda order, window: documented([t for t in order if t != "task-9"], window)
    await scene.collector.sweep()
    assert status_of(scene).doubtful_tasks == 1
    scene.service.page_of_list = None
    await scene.collector.sweep()
    assert (status_of(scene).doubtful_tasks, scene.reported.take()) == (0, [])


@pytest.mark.parametrize("hidden", [1, 30])
@on_virtual_time
async def test_tasks_that_no_reading_shows_are_never_gone_by_that(hidden: int) -> None:
    """Tasks that jump from the end behind unchanged rows during each sweep are unseen each time, and stay."""
    scene = Scene(400, largest_page=50)
    jumping = [f"task-{number}" for number in range(hidden)]
    await scene.start()
    everything = shown(scene.collector)
    others = [task_id for task_id in scene.list.order if task_id not in jumping]
    for sweeps in range(1, 5):
        all_of(scene.list.resave, others)()
        jump = all_of(scene.list.resave, [*jumping, *reversed(scene.list.order[:100])])
        scene.meanwhile(*[nothing] * 6, jump)
        await scene.collector.sweep()
        assert len(scene.look_ups()) == sweeps * hidden
        await asyncio.sleep(2)
    assert (scene.reported.take(), shown(scene.collector)) == ([], everything)
    assert status_of(scene).state is State.OK


@pytest.mark.parametrize(("requests_per_second", "within_seconds"), [(50, 20), (4, 150)])
@on_virtual_time
async def test_hundreds_of_deletions_in_a_list_that_moves_are_looked_up_in_turn(
    requests_per_second: int, within_seconds: int
) -> None:
    """Where the list moves, each removal needs its own lookup; they go on in later turns and keep to the budget."""
    scene = Scene(600, largest_page=100, requests_per_second=requests_per_second)
    await scene.start()
    all_of(scene.list.delete, scene.list.order[200:380])()
    scene.service.before_answer = lambda: scene.list.resave(scene.list.order[-1])
    await scene.collector.sweep()
    began = scene.clock.monotonic()
    while shown(scene.collector).keys() != set(scene.list.order):
        await scene.collector.update()
        await asyncio.sleep(1)
        assert scene.clock.monotonic() - began < within_seconds
    assert status_of(scene).doubtful_tasks == 0


def by_page_size(order: list[str], window: Window) -> Sequence[str]:
    """Order equal rows by something that depends on PageSize."""
    return sorted(order, key=lambda task_id: crc32(f"{window.page_size} {task_id}".encode()))[window.start : window.end]


def at_random(seed: int) -> PageOf:
    """Order equal rows again for each request."""
    random = Random(seed)  # noqa: S311 - no secret

    def page_of(order: list[str], window: Window) -> Sequence[str]:
        return random.sample(order, len(order))[window.start : window.end]

    return page_of


def near_the_middle_at_random(seed: int) -> PageOf:
    """Order few equal rows again for each request."""
    shuffle = at_random(seed)

    def page_of(order: list[str], window: Window) -> Sequence[str]:
        middle = shuffle(order[94:104], Window(1, 100))
        return [*order[:94], *middle, *order[104:]][window.start : window.end]

    return page_of


@pytest.mark.parametrize("tasks", [130, 240, 1000])
@on_virtual_time
async def test_an_order_that_depends_on_page_size_is_read_whole(tasks: int) -> None:
    """Another pass with pages of one size sees every task."""
    scene = Scene(tasks, largest_page=100)
    scene.service.page_of_list = by_page_size
    for _ in range(2):
        await scene.collector.sweep()
        assert status_of(scene).state is State.OK
        assert shown(scene.collector) == listed(scene.list)
        await asyncio.sleep(2)
    assert scene.reported.take() == []


@pytest.mark.parametrize("seed", range(5))
@on_virtual_time
async def test_few_equal_rows_at_a_border_are_read_whole(seed: int) -> None:
    """A window that shares more rows shows them all."""
    scene = Scene(300, largest_page=100)
    scene.service.page_of_list = near_the_middle_at_random(seed)
    await scene.collector.sweep()
    assert status_of(scene).state is State.OK
    assert shown(scene.collector) == listed(scene.list)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tasks", [120, 400])
@on_virtual_time
async def test_an_order_that_changes_with_each_request_is_partial(tasks: int, seed: int) -> None:
    """It is never ok with tasks missing, and no task comes or goes by it."""
    scene = Scene(tasks, largest_page=100)
    await scene.start()
    scene.service.page_of_list = at_random(seed)
    scene.list.update("task-1")
    for _ in range(3):
        await scene.collector.sweep()
        assert shown(scene.collector) == listed(scene.list) or status_of(scene).state is State.PARTIAL
        await asyncio.sleep(2)
    assert set(scene.reported.take()) <= {("modified", "task-1")}
    if status_of(scene).state is State.PARTIAL:
        assert "equal update times" in status_of(scene).reason
    scene.service.page_of_list = None
    await scene.collector.sweep()
    assert status_of(scene).state is State.OK
    assert shown(scene.collector) == listed(scene.list)


OTHER_ORDERS: dict[str, PageOf] = {
    "oldest first": lambda order, window: documented(order[::-1], window),
    "always the first page": lambda order, window: order[: window.page_size],
    "pages from zero": lambda order, window: order[window.end :][: window.page_size],
    "a short first page": lambda order, window: documented(order, window)[: None if window.start else -1],
    "the second hundred left out": lambda order, window: [] if 100 <= window.start < 200 else documented(order, window),
}


@pytest.mark.parametrize("tasks", [60, 230])
@pytest.mark.parametrize("other", OTHER_ORDERS)
@on_virtual_time
async def test_rows_in_other_places_take_no_task_away(other: str, tasks: int) -> None:
    """Whatever rows a service repeats, leaves out or turns round, no task comes or goes; the next turns heal it."""
    scene = Scene(tasks, largest_page=100)
    await scene.start()
    everything = shown(scene.collector)
    states = {State.OK} if other == "oldest first" else {State.OK, State.PARTIAL, State.INVALID_RESPONSE}
    scene.service.page_of_list = OTHER_ORDERS[other]
    for _ in range(3):
        await scene.collector.sweep()
        await scene.collector.update()
        assert scene.reported.take() == []
        assert shown(scene.collector) == everything
        assert status_of(scene).state in states
        await asyncio.sleep(2)
    scene.service.page_of_list = None
    await scene.collector.sweep()
    await scene.collector.update()
    assert status_of(scene).state is State.OK


@pytest.mark.parametrize("seed", range(5))
@on_virtual_time
async def test_a_first_sweep_of_a_changing_order_is_not_ok_with_tasks_missing(seed: int) -> None:
    """Nothing is published before a sweep agrees with itself."""
    scene = Scene(400, largest_page=100)
    scene.service.page_of_list = at_random(seed)
    await scene.collector.sweep()
    assert status_of(scene).state is State.PARTIAL
    assert shown(scene.collector) == {}


@on_virtual_time
async def test_a_change_that_is_taken_back_at_once_shows_within_three_seconds() -> None:
    """The row that is refused as outdated is read again, though others have pushed it out of reach of updates."""
    scene = Scene(300, largest_page=100)
    await scene.start()
    scene.list.update("task-7")
    await scene.collector.update()
    await asyncio.sleep(1)
    scene.list.versions["task-7"] = 1
    scene.list.resave("task-7")
    await scene.collector.update()
    all_of(scene.list.update, scene.list.order[100:250])()
    await scene.collector.update()
    scene.reported.take()
    for _ in range(3):
        await asyncio.sleep(1)
        await scene.collector.update()
    assert ("modified", "task-7") in scene.reported.take()
    assert shown(scene.collector) == listed(scene.list)
    assert len(scene.look_ups()) == 1


@on_virtual_time
async def test_a_lookup_of_an_outdated_row_that_fails_is_tried_again_after_seconds() -> None:
    """Updates at short intervals make no request for it meanwhile."""
    scene = Scene(60)
    await scene.start()
    for version in (2, 1):
        scene.list.versions["task-7"] = version
        scene.list.resave("task-7")
        await scene.collector.update()
    scene.list.resave("task-20")
    scene.service.before_look_up = _refuse
    scene.service.page_of_list = lambda order, window: documented([each for each in order if each != "task-7"], window)
    for look_ups in (0, 0, 1, 1, 1, 1, 1, 2):
        assert (look_ups, len(scene.look_ups())) == (look_ups, look_ups)
        await asyncio.sleep(1)
        await scene.collector.update()


@on_virtual_time
async def test_an_outdated_row_of_a_replica_costs_no_lookup() -> None:
    """When a later update shows the current version, nothing has to be looked up."""
    scene = Scene(60)
    await scene.start()
    scene.list.update("task-3")
    for version in (2, 1, 2, 2, 2):
        scene.list.versions["task-3"] = version
        await scene.collector.update()
        await asyncio.sleep(0.9)
    assert scene.reported.take() == [("modified", "task-3")]
    assert shown(scene.collector)["task-3"] == "version-2"
    assert scene.look_ups() == []
