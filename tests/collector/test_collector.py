"""One app, kept up to date by updates and sweeps: what is shown, kept, evaluated, counted and said."""

import asyncio
from collections.abc import Iterator, MutableMapping, Sequence
from math import inf
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.collector.absences import PROOFS_OF_LARGE_LOSS
from exporter.collector.inventory import Entry
from exporter.collector.list_reader import MAX_UPDATE_WINDOWS
from exporter.collector.lookups import Doubts
from exporter.collector.rate_limiter import Priority
from exporter.collector.reading import Window, WindowAnswer
from exporter.collector.status import Intervals, Kind
from exporter.core.collection_state import State
from tests.support.moving_list import (
    APP,
    PAGE,
    ListService,
    MovingList,
    Scene,
    Told,
    all_of,
    collector_of,
    failing,
    listed,
    nothing,
    requests_to,
    shown,
    status_of,
    sweep_of,
    wants_sweep,
)
from tests.support.virtual_time import VirtualClock, on_virtual_time

Log = list[MutableMapping[str, Any]]


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    """What is logged."""
    with capture_logs() as entries:
        yield entries


@on_virtual_time
async def test_before_the_first_sweep_it_is_pending_and_updates_ask_nothing() -> None:
    """There is nothing to update before a list was read whole."""
    scene = Scene(30)
    status = status_of(scene)
    assert (status.state, status.reason) == (State.PENDING, "no sweep has finished yet")
    assert (status.up, status.data_available, scene.collector.attempted) == (False, False, False)
    assert (status.last_update_began, status.last_sweep_began, status.last_attempt_began) == (None, None, None)
    await scene.collector.update()
    assert scene.service.requests == []
    assert not scene.collector.attempted


@pytest.mark.parametrize("tasks", [0, 5, 30])
@on_virtual_time
async def test_the_first_sweep_is_a_baseline(tasks: int) -> None:
    """All tasks, none too, are shown and told once, as no changes; the app is up. One page takes two requests."""
    scene = Scene(tasks)
    await scene.collector.sweep()
    assert len(scene.service.requests) == 2 or tasks > PAGE
    assert status_of(scene).data_available
    assert shown(scene.collector) == listed(scene.list)
    assert not any(entry.start_known for entry in scene.collector.inventory)
    assert (scene.reported.baselines, scene.reported.changes, scene.reported.sweeps) == (1, [], 1)
    assert (status_of(scene).state, status_of(scene).up) == (State.OK, True)
    assert scene.collector.attempted


@on_virtual_time
async def test_the_first_sweep_is_joined_with_what_jumped_to_the_front() -> None:
    """Tasks that are updated or created while the first sweep reads are in its tasks, and counted as repaired."""
    scene = Scene(60)
    scene.meanwhile(nothing, nothing, lambda: scene.list.update("task-0"), scene.list.create)
    await scene.collector.sweep()
    assert shown(scene.collector) == listed(scene.list)
    assert scene.reported.baselines == 1
    assert sweep_of(scene).repaired_tasks == 2


@on_virtual_time
async def test_an_update_brings_in_what_was_created_and_changed() -> None:
    """One request shows both; what did not change is not reported."""
    scene = Scene(60)
    await scene.start()
    scene.list.update("task-7")
    created = scene.list.create()
    scene.list.resave("task-9")
    await scene.collector.update()
    assert sorted(scene.reported.take()) == sorted([("modified", "task-7"), ("added", created)])
    assert [entry.task_id for entry in scene.collector.inventory if entry.start_known] == [created]
    assert shown(scene.collector) == listed(scene.list)
    assert len(scene.service.requests) == 1
    assert status_of(scene).last_update_began == pytest.approx(scene.clock.now() - 0.05)


@on_virtual_time
async def test_a_burst_takes_an_update_of_several_windows() -> None:
    """Thirty changes at once are shown by one update."""
    scene = Scene(100)
    await scene.start()
    all_of(scene.list.update, scene.list.order[-30:])()
    await scene.collector.update()
    assert len(scene.reported.take()) == 30
    assert not wants_sweep(scene)


@on_virtual_time
async def test_an_update_that_finds_no_known_ground_wants_a_sweep() -> None:
    """When more has changed than an update may read, a sweep shall bring the rest soon."""
    scene = Scene(400)
    await scene.start()
    all_of(scene.list.update, scene.list.order)()
    await scene.collector.update()
    assert wants_sweep(scene)
    assert len(scene.service.requests) == MAX_UPDATE_WINDOWS
    assert 100 < len(scene.reported.take()) < 400
    await scene.collector.sweep()
    assert shown(scene.collector) == listed(scene.list)


@on_virtual_time
async def test_a_sweep_finds_what_is_gone_by_task_id() -> None:
    """A task that a sweep did not see is looked up, and only then declared gone."""
    scene = Scene(60)
    await scene.start()
    all_of(scene.list.delete, ["task-3", "task-40"])()
    await scene.collector.sweep()
    assert sorted(scene.look_ups()) == ["task-3", "task-40"]
    assert sorted(scene.reported.take()) == [("removed", "task-3"), ("removed", "task-40")]
    assert shown(scene.collector) == listed(scene.list)


@on_virtual_time
async def test_a_task_that_moved_while_a_sweep_read_is_not_gone() -> None:
    """The sweep saw it nowhere; the front that is read afterwards did."""
    scene = Scene(60)
    await scene.start()
    scene.meanwhile(nothing, nothing, nothing, nothing, all_of(scene.list.resave, ["task-1", "task-2"]))
    await scene.collector.sweep()
    assert scene.reported.take() == []
    assert scene.look_ups() == []
    assert sweep_of(scene).repaired_tasks == 2


@on_virtual_time
async def test_the_front_is_read_a_third_time_for_what_jumps_while_its_windows_are_read() -> None:
    """A task that two readings of the front miss needs no lookup, though neither of them brought anything new."""
    scene = Scene(60)
    await scene.start()

    def save_many() -> None:
        all_of(scene.list.resave, scene.list.order[20:34])()

    def jump() -> None:
        scene.list.resave("task-1")

    scene.meanwhile(*[nothing] * 5, jump, *[nothing] * 5, *[save_many, jump, nothing] * 2)
    await scene.collector.sweep()
    assert (scene.look_ups(), sweep_of(scene).repaired_tasks) == ([], 1)


@on_virtual_time
async def test_a_task_that_no_front_shows_is_looked_up() -> None:
    """Tasks that are saved again hide one that moved before them; its TaskId finds it."""
    scene = Scene(60)
    await scene.start()
    newest = scene.list.order[:PAGE]
    scene.meanwhile(nothing, nothing, nothing, all_of(scene.list.resave, ["task-1", *reversed(newest)]))
    await scene.collector.sweep()
    assert scene.look_ups() == ["task-1"]
    assert shown(scene.collector) == listed(scene.list)
    assert (sweep_of(scene).repaired_tasks, status_of(scene).repairs) == (1, 1)


def test_lookups_that_fail_wait_for_longer_each_time_and_let_others_go_first() -> None:
    """One that was given up before it was answered waits as briefly as the first."""
    doubts = Doubts()
    doubts.add(["task-1"], since=1.0)
    doubts.add(["task-2"], since=2.0)
    assert doubts.due(3.0) == ["task-1", "task-2"]
    doubts.failed("task-1", at=10.0, answered=True)
    assert (doubts.due(14.9), doubts.due(15.0)) == (["task-2"], ["task-2", "task-1"])
    doubts.failed("task-1", at=20.0, answered=True)
    assert (doubts.due(29.9), doubts.due(30.0)) == (["task-2"], ["task-2", "task-1"])
    doubts.failed("task-1", at=40.0, answered=False)
    assert doubts.due(45.0) == ["task-2", "task-1"]


@on_virtual_time
async def test_a_short_app_needs_no_sweep_to_find_what_is_gone() -> None:
    """Where an update reads the whole list, what it does not see is looked up at once."""
    scene = Scene(5)
    await scene.start()
    scene.list.delete("task-2")
    await scene.collector.update()
    assert scene.look_ups() == ["task-2"]
    assert scene.reported.take() == [("removed", "task-2")]


@on_virtual_time
async def test_a_failed_look_up_costs_an_update_no_changes() -> None:
    """What an update read is shown, though the look-ups that it needs beside fail."""
    scene = Scene(5)
    await scene.start()
    scene.list.delete("task-2")
    scene.list.update("task-3")
    scene.fail(State.TIMEOUT, at=1)
    await scene.collector.update()
    assert scene.reported.take() == [("modified", "task-3")]
    assert (status_of(scene).state, status_of(scene).doubtful_tasks) == (State.OK, 1)
    scene.fail(None)
    await asyncio.sleep(5)
    await scene.collector.update()
    assert scene.reported.take() == [("removed", "task-2")]
    assert (status_of(scene).state, status_of(scene).doubtful_tasks) == (State.OK, 0)


@pytest.mark.parametrize("is_answered", [True, False])
@on_virtual_time
async def test_a_failed_look_up_waits_before_it_is_sent_again(is_answered: bool) -> None:
    """A task whose lookup is refused, or unanswered in time, is left alone by the next update, and asked for later."""
    scene, asked = Scene(5), list[str]()

    async def fail(task_id: str) -> None:
        asked.append(task_id)
        if not is_answered:
            await asyncio.Event().wait()
        raise failing(State.TIMEOUT)

    await scene.start()
    scene.list.delete("task-2")
    scene.service.before_look_up = fail
    await scene.collector.update()
    await scene.collector.update()
    assert asked == ["task-2"]
    await asyncio.sleep(5)
    await scene.collector.update()
    assert asked == ["task-2", "task-2"]


@pytest.mark.parametrize("deleted", [1, 12])
@on_virtual_time
async def test_lookups_that_hang_leave_the_next_sweep_its_turn(deleted: int) -> None:
    """The list can be read: the next sweep comes, and ends, before the data of the last one is too old."""
    scene = Scene(60)
    await scene.start()
    scene.collector.set_intervals(Intervals(0.5, 2, 6, 1))
    for number in range(deleted):
        scene.list.delete(f"task-{number + 20}")

    async def hang(_task_id: str) -> None:
        await asyncio.Event().wait()

    scene.service.before_look_up = hang
    began = scene.clock.monotonic()
    await scene.collector.sweep()
    took_seconds = scene.clock.monotonic() - began
    assert took_seconds + 2 + sweep_of(scene).duration_seconds <= 6
    assert (status_of(scene).state, status_of(scene).doubtful_tasks) == (State.OK, deleted)


@on_virtual_time
async def test_lookups_that_hang_leave_time_for_a_sweep_that_takes_longer() -> None:
    """Where the service throttles meanwhile, the next sweep takes much longer; no data is withdrawn all the same."""
    scene = Scene(60)
    await scene.start()
    scene.collector.set_intervals(Intervals(0.5, 6, 60, 1))
    scene.list.delete("task-20")
    scene.service.before_look_up = lambda _task_id: asyncio.Event().wait()
    await scene.collector.sweep()
    scene.service.one_way_seconds = lambda: 2.5
    await asyncio.sleep(6)
    first = sweep_of(scene)
    sweeping = asyncio.ensure_future(scene.collector.sweep())
    while sweep_of(scene) is first:
        await asyncio.sleep(0.5)
        scene.collector.look_at_clock()
        assert status_of(scene).data_available
    await sweeping


@on_virtual_time
async def test_hanging_lookups_of_stored_tasks_leave_the_next_sweep_its_turn() -> None:
    """Tasks of an earlier process are looked up as long as the sweep can spare, and again after the next one."""
    scene = Scene(60)
    await scene.start()
    scene.collector.set_intervals(Intervals(0.5, 2, 6, 1))
    stored = [entry for entry in scene.collector.inventory if entry.task_id == "task-20"]
    gone: list[Sequence[Entry]] = []
    scene.list.delete("task-20")
    scene.collector.inventory.remove(["task-20"], settled_before=inf, at=scene.clock.monotonic())
    scene.collector.check_stored(stored, gone=gone.append)

    async def hang(_task_id: str) -> None:
        await asyncio.Event().wait()

    scene.service.before_look_up = hang
    began = scene.clock.monotonic()
    await scene.collector.sweep()
    assert scene.clock.monotonic() - began + 2 + sweep_of(scene).duration_seconds <= 6
    assert not gone
    scene.service.before_look_up = None
    await scene.collector.sweep()
    assert gone == [stored]


@on_virtual_time
async def test_lookups_that_are_answered_with_other_tasks_are_one_failure(log: Log) -> None:
    """The app stays down until one is answered as it should be, and each update is counted once."""
    scene = Scene(5)
    await scene.start()
    log.clear()
    scene.list.delete("task-2")
    scene.service.answers_look_ups_with = "task-3"
    for _ in range(3):
        await scene.collector.update()
        assert (status_of(scene).state, status_of(scene).doubtful_tasks) == (State.INVALID_RESPONSE, 1)
    scene.service.answers_look_ups_with = None
    await scene.collector.update()
    assert scene.reported.take() == [("removed", "task-2")]
    assert [(entry["event"], entry.get("state")) for entry in log] == [
        ("collection fails", State.INVALID_RESPONSE),
        ("collection is complete", None),
    ]
    assert {outcome: n for (kind, outcome), n in status_of(scene).attempts.items() if kind == Kind.UPDATE} == {
        State.OK: 4
    }


@on_virtual_time
async def test_many_deletions_take_few_lookups_where_the_length_of_the_list_proves_them() -> None:
    """A list that did not move while it was read holds what it showed: five lookups are enough for sixty tasks."""
    scene = Scene(100)
    await scene.start()
    all_of(scene.list.delete, scene.list.order[10:70])()
    await scene.collector.sweep()
    assert len(scene.look_ups()) == PROOFS_OF_LARGE_LOSS
    assert len(scene.reported.take()) == 60
    assert not wants_sweep(scene)
    assert shown(scene.collector) == listed(scene.list)


@on_virtual_time
async def test_a_short_app_that_loses_many_tasks_wants_a_sweep() -> None:
    """An update looks tasks up that it did not see; a sweep may prove sooner what became of many."""
    scene = Scene(90, largest_page=100)
    await scene.start()
    all_of(scene.list.delete, scene.list.order[10:30])()
    await scene.collector.update()
    assert len(scene.look_ups()) == len(scene.reported.take()) == 20
    assert wants_sweep(scene)


@on_virtual_time
async def test_a_loss_that_an_update_sees_during_a_sweep_wants_no_other_sweep() -> None:
    """The sweep that reads finds what became of the tasks; one that shows them leaves the rest to the next update."""
    scene = Scene(90, largest_page=100)
    await scene.start()
    all_of(scene.list.delete, scene.list.order[10:50])()
    updates: list[asyncio.Task[None]] = []
    scene.meanwhile(lambda: updates.append(asyncio.create_task(scene.collector.update())))
    await scene.collector.sweep()
    await asyncio.gather(*updates)
    assert len(updates) == 1
    assert shown(scene.collector) == listed(scene.list)
    assert not wants_sweep(scene)


@pytest.mark.parametrize("answered", [0, 1, 3])
@pytest.mark.parametrize("state", [State.TIMEOUT, State.AUTH_ERROR, State.INVALID_RESPONSE])
@on_virtual_time
async def test_a_sweep_that_fails_midway_changes_nothing(state: State, answered: int) -> None:
    """All tasks are kept, the reason is shown, a sweep is wanted, and the next one heals all."""
    scene = Scene(60)
    await scene.start()
    before = shown(scene.collector)
    scene.list.delete("task-59")
    scene.list.update("task-1")
    scene.fail(state, at=answered)
    await scene.collector.sweep()
    status = scene.collector.status
    assert (status.state, status.up, status.data_available) == (state, False, True)
    assert shown(scene.collector) == before
    assert scene.reported.take() == []
    assert wants_sweep(scene)
    scene.fail(None)
    await scene.collector.sweep()
    assert status_of(scene).up
    assert not wants_sweep(scene)
    assert shown(scene.collector) == listed(scene.list)


@on_virtual_time
async def test_a_sweep_of_a_list_that_never_holds_still_is_partial() -> None:
    """Every request was answered and still it is incomplete: partial, with the data kept."""
    scene = Scene(200)
    await scene.start()

    def move_the_last() -> None:
        all_of(scene.list.update, scene.list.order[-60:])()

    scene.service.before_answer = move_the_last
    await scene.collector.sweep()
    assert status_of(scene).state is State.PARTIAL
    assert len(scene.collector.inventory) == 200
    assert len(scene.service.requests) < 64 + 8 * 200 // PAGE


@on_virtual_time
async def test_too_many_tasks_are_limit_exceeded() -> None:
    """As many as may be held are fine; where there is one more, none is held."""
    fits, too_long = Scene(50, max_tasks=50), Scene(51, max_tasks=50)
    for scene in (fits, too_long):
        await scene.collector.sweep()
    assert (status_of(fits).state, len(fits.collector.inventory)) == (State.OK, 50)
    assert (status_of(too_long).state, len(too_long.collector.inventory)) == (State.LIMIT_EXCEEDED, 0)
    assert "collection.max_tasks_per_app" in status_of(too_long).reason


@on_virtual_time
async def test_what_a_lagging_replica_may_not_know_is_not_evaluated() -> None:
    """A task that was created less than a second before a sweep began is not missed by it."""
    scene = Scene(5)
    await scene.start()
    created = scene.list.create()
    await scene.collector.update()
    await asyncio.sleep(0.5)
    scene.list.order.remove(created)
    await scene.collector.sweep()
    assert scene.look_ups() == []
    assert created in shown(scene.collector)


@on_virtual_time
async def test_a_sweep_is_evaluated_by_a_front_that_no_replica_can_be_behind() -> None:
    """The front is read a second after the last window, and by then every replica knows what moved."""
    scene = Scene(60)
    await scene.start()
    began = scene.clock.monotonic()
    await scene.collector.sweep()
    windows = len(scene.service.requests)
    assert scene.clock.monotonic() - began > 1.0
    assert windows > 1


@on_virtual_time
async def test_changes_that_the_service_does_not_move_are_counted_and_said_once(log: Log) -> None:
    """An update can't see them, a sweep does; the log says so the first time."""
    scene = Scene(60)
    await scene.start()
    for _ in range(2):
        scene.list.update("task-3", moves=False)
        scene.list.update("task-4", moves=False)
        await scene.collector.update()
        assert scene.reported.take() == []
        await scene.collector.sweep()
        assert sorted(scene.reported.take()) == [("modified", "task-3"), ("modified", "task-4")]
        sweep = sweep_of(scene)
        assert sweep.unmoved_changes == 2
        await asyncio.sleep(2)
    warnings = [entry["event"] for entry in log if entry["log_level"] == "warning"]
    assert warnings == ["the service does not move changed tasks to the front: changes show with the sweep"]


@on_virtual_time
async def test_changes_that_moved_are_no_unmoved_ones() -> None:
    """What changed before and while a sweep reads, and was pushed down, is not counted as left where it stood."""
    scene = Scene(60)
    await scene.start()
    all_of(scene.list.update, scene.list.order[20:50])()
    scene.meanwhile(nothing, nothing, all_of(scene.list.update, scene.list.order[-3:]))
    await scene.collector.sweep()
    assert sweep_of(scene).unmoved_changes == 0


@on_virtual_time
async def test_attempts_are_counted_by_their_outcomes() -> None:
    """Each update and each sweep counts once, whatever it took; a status that was given out does not change."""
    scene = Scene(60)
    await scene.start()
    before = status_of(scene).attempts
    await scene.collector.update()
    scene.fail(State.THROTTLED)
    await scene.collector.update()
    await scene.collector.sweep()
    assert status_of(scene).attempts == {
        ("sweep", State.OK): 1,
        ("update", State.OK): 1,
        ("update", State.THROTTLED): 1,
        ("sweep", State.THROTTLED): 1,
    }
    assert before == {("sweep", State.OK): 1}


@on_virtual_time
async def test_a_sweep_says_what_it_took() -> None:
    """Its beginning, its duration and its requests, the concluding front included, what settles doubts later not."""
    scene = Scene(60)
    await scene.start()
    scene.list.delete("task-3")
    began = scene.clock.now()
    await scene.collector.sweep()
    sweep = sweep_of(scene)
    assert sweep.began == began
    assert 0 < scene.clock.now() - began - sweep.duration_seconds < 0.06
    assert sweep.requests == len(scene.service.requests) - len(scene.look_ups())


@on_virtual_time
async def test_looking_at_the_clock_tells_only_what_is_new() -> None:
    """As long as nothing becomes too old, nobody is notified."""
    scene = Scene(5)
    await scene.start()
    reported = 0

    def count(_changes: object) -> None:
        nonlocal reported
        reported += 1

    scene.reported.on_changes = count
    for _ in range(5):
        scene.collector.look_at_clock()
        await asyncio.sleep(1)
    assert reported == 0
    await asyncio.sleep(30)
    scene.collector.look_at_clock()
    scene.collector.look_at_clock()
    assert reported == 1


@on_virtual_time
async def test_other_intervals_are_taken_on_at_once() -> None:
    """Stretched intervals show in the status, and data is kept as long as they say."""
    scene = Scene(5)
    await scene.start()
    await asyncio.sleep(40)
    scene.collector.set_intervals(Intervals(2, 60, 120, 2))
    status = scene.collector.status
    assert (status.interval_seconds, status.sweep_interval_seconds) == (2, 60)
    assert (status.stale_after_seconds, status.interval_stretch_ratio) == (120, 2)
    assert status.data_available


@on_virtual_time
async def test_failures_pause_attempts_of_their_kind() -> None:
    """After a failed sweep the next waits; updates go on; a success ends the pause."""
    scene = Scene(60)
    await scene.start()
    scene.fail(State.SERVER_ERROR)
    await scene.collector.sweep()
    assert scene.collector.pause_ends_at(Kind.SWEEP) == pytest.approx(scene.clock.monotonic() + 1)
    assert scene.collector.pause_ends_at(Kind.UPDATE) < 0
    scene.fail(None)
    await scene.collector.sweep()
    assert scene.collector.pause_ends_at(Kind.SWEEP) < 0


@on_virtual_time
async def test_the_log_tells_when_it_turns_and_nothing_in_between(log: Log) -> None:
    """A failure that lasts is one line, another reason another, and the recovery one."""
    scene = Scene(60)
    await scene.collector.sweep()
    await scene.collector.update()
    for state in (State.TIMEOUT, State.TIMEOUT, State.AUTH_ERROR, State.AUTH_ERROR):
        scene.fail(state)
        await scene.collector.update()
    scene.fail(None)
    await scene.collector.update()
    await scene.collector.update()
    assert [(entry["event"], entry.get("state")) for entry in log] == [
        ("collection is complete", None),
        ("collection fails", State.TIMEOUT),
        ("collection fails", State.AUTH_ERROR),
        ("collection is complete", None),
    ]
    assert all((entry["account"], entry["app_id"]) == ("account", "app") for entry in log)


@on_virtual_time
async def test_a_budget_that_does_not_suffice_is_seen_before_a_turn() -> None:
    """When more waits than can be sent before the next turn, the turn is left out."""
    reported, clock = Told(), VirtualClock()
    service = ListService(MovingList(2000))
    requests = requests_to(service, reported, clock, requests_per_second=2)
    collector = collector_of(service, reported, clock, requests=requests, largest_page=PAGE)
    fetch, others = requests.of_app(APP).window(Priority.SWEEP), list[asyncio.Future[WindowAnswer]]()
    for waiting, crowded in ((20, False), (21, True)):  # at two requests a second, an interval of ten seconds
        others += [asyncio.ensure_future(fetch(Window(1, PAGE))) for _ in range(waiting + 2 - len(others))]
        await asyncio.sleep(0.01)
        assert collector.crowded(Kind.SWEEP) is crowded
    assert not collector.crowded(Kind.UPDATE)
    for other in others:
        other.cancel()


@on_virtual_time
async def test_updates_go_on_while_a_sweep_runs() -> None:
    """A change shows with the next update, though a long sweep is under way; the sweep does not turn it back."""
    scene = Scene(400)
    await scene.start()
    sweep = asyncio.ensure_future(scene.collector.sweep())
    await asyncio.sleep(0.06)
    assert scene.collector.sweeping
    scene.list.update("task-5")
    await scene.collector.update()
    assert scene.reported.take() == [("modified", "task-5")]
    await sweep
    assert scene.reported.take() == []
    assert not scene.collector.sweeping
