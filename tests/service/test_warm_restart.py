"""A restart with a database: served at once at its true age, and changes of meanwhile are known as such."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from exporter.collector.collector import Collector
from exporter.collector.inventory import Change
from exporter.collector.past import RuleVersion, SavedApp
from exporter.core.collection_state import State
from exporter.rules.findings import FindingLog, Resolution
from exporter.rules.rule import Rule, Severity, TaskCountRule
from exporter.service.recorder import RecordedApp, Recorder
from exporter.storage import database as database_module
from exporter.storage.database import Database
from exporter.storage.tables import CHANGES, VIOLATIONS
from exporter.storage.writer import Batch, Waiting, Writer
from tests.support.batches import BITRATE
from tests.support.moving_list import INTERVALS, ListService, MovingList, Told, collector_of, listed, shown
from tests.support.virtual_time import VirtualClock, on_virtual_time

KEY = ("account", "app")


class DirectWriter(Writer):
    """Writes in the thread of the caller, after its step of the event loop: virtual time waits for no thread."""

    def __init__(self, database: Database, clock: VirtualClock, recorder: Recorder) -> None:
        super().__init__(
            lambda: database,
            clock,
            retention_seconds=1.0,
            configured=(),
            batch_of=recorder._batch_of,
            lost=recorder._write_everything,
            failed=_raise,
        )
        self._direct = database
        self.is_away = False
        self.batches: list[Batch] = []

    def add(self, app: Any, *args: Any, **more: Any) -> Waiting:
        if not self.is_away:
            asyncio.get_running_loop().call_soon(self.come_back)
        return super().add(app, *args, **more)

    def come_back(self) -> None:
        self.is_away = False
        while self._waiting:
            with suppress(StopIteration):  # it waits for nothing
                self._write_next().send(None)

    async def _attempt(self, work: Callable[[Database], None]) -> bool:
        if self._current is not None:
            self.batches.append(self._current)
        work(self._direct)
        return True


def _raise(error: Exception) -> None:
    raise error


class Process(Told):
    """What of one process of the exporter counts here: a collector and the recorder of what it tells."""

    def __init__(self, moving_list: MovingList, database: Database, clock: VirtualClock) -> None:
        super().__init__()
        self.open_violations: dict[RuleVersion, dict[str, float]] = {}
        self.is_removed = False  # from the configuration
        self.endpoint = "https://live.example.com"
        self.aged: list[Mapping[RuleVersion, Mapping[str, float]]] = []
        """The violations that are as old as was stored."""
        self.on_age: Callable[[], object] = lambda: None
        """Called when tasks have become as old as was stored."""
        self._database = database
        self.recorder = Recorder(
            FindingLog(clock),
            app=self._recorded,
            apps=lambda: [KEY],
            older=self._older,
            failed=lambda _: None,
            keep_running=lambda run: run(),
            clock=clock,
        )
        self.writer = self.recorder.writer = DirectWriter(database, clock, self.recorder)
        self.service = ListService(moving_list)
        self.collector: Collector = collector_of(self.service, self, clock)

    def collected(self, changes: Sequence[Change], *, baseline: bool) -> None:
        super().collected(changes, baseline=baseline)
        self.recorder.collected(self.collector, changes, baseline=baseline)

    def restore(self) -> bool:
        """Begin with what was written, as the program does; return whether that was of use."""
        (saved,) = self._database.load()
        with self.recorder.restoring(saved):
            return self.collector.restore(saved)

    def _older(self, stored: SavedApp, _: Sequence[Change]) -> None:
        self.aged.append(stored.violations)
        self.on_age()

    def _recorded(self, key: tuple[str, str]) -> RecordedApp | None:
        assert key == KEY
        return None if self.is_removed else RecordedApp(self.collector, self.endpoint, lambda: self.open_violations)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Return an empty database."""
    with closing(Database(f"sqlite:{tmp_path / 'rtcmpu.db'}")) as opened:
        yield opened


def _rows(database: Database, table: Any) -> list[Any]:
    with database._engine.connect() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


@on_virtual_time
async def test_a_restart_shows_the_stored_tasks_at_their_true_age(database: Database) -> None:
    """Until its own first sweep the app is pending, with the data and the times of the process before."""
    clock = VirtualClock()
    moving_list = MovingList(tasks=30)
    first = Process(moving_list, database, clock)
    await first.collector.sweep()
    await clock.sleep(INTERVALS.stale_after_seconds / 2)
    second = Process(moving_list, database, clock)
    assert second.restore()
    status = second.collector.status
    assert (status.state, status.up, status.data_available) == (State.PENDING, False, True)
    assert status.last_sweep_began == first.collector.status.last_sweep_began
    assert shown(second.collector) == listed(moving_list)
    await clock.sleep(0)
    assert second.writer.batches == [], "what comes from the database was written to it again"


@pytest.mark.parametrize("down_seconds", [5.0, 10 * INTERVALS.stale_after_seconds])
@on_virtual_time
async def test_what_changed_meanwhile_is_recorded_with_its_earliest_time(
    database: Database, down_seconds: float
) -> None:
    """However long it was down: what came, went or changed since did so after the last update that was written.

    Only of what came later the start is known.
    """
    clock = VirtualClock()
    moving_list = MovingList(tasks=30)
    first = Process(moving_list, database, clock)
    await first.collector.sweep()
    await clock.sleep(10)
    await first.collector.update()
    await clock.sleep(0)
    earliest = first.collector.status.last_update_began
    gone, changed = list(moving_list.order)[:2]
    moving_list.delete(gone)
    moving_list.update(changed)
    created = moving_list.create()
    await clock.sleep(down_seconds)
    second = Process(moving_list, database, clock)
    assert second.restore()
    assert second.collector.status.data_available is (down_seconds < INTERVALS.stale_after_seconds)
    await second.collector.sweep()
    await clock.sleep(5)
    await second.collector.sweep()
    later = moving_list.create()
    await second.collector.update()
    await clock.sleep(0)
    assert second.baselines == 1
    found = {(row.change, row.task_id): row.earliest for row in _rows(database, CHANGES)}
    assert found == {
        ("removed", gone): earliest,
        ("modified", changed): earliest,
        ("added", created): earliest,
        ("added", later): None,
    }
    (saved,) = database.load()
    assert {each.task.task_id for each in saved.entries} == set(moving_list.order)
    assert {each.task.task_id for each in saved.entries if each.start_known} == {later}


@pytest.mark.parametrize("is_away", [True, False])
@on_virtual_time
async def test_what_changed_before_the_database_answered_is_recorded(database: Database, is_away: bool) -> None:
    """A start without the database, or an app that comes back: what is stored is compared with the first sweep.

    Tasks keep their ages, changes since the first sweep follow at their own times, and open violations stay as old.
    """
    clock = VirtualClock()
    moving_list = MovingList(tasks=30)
    first = Process(moving_list, database, clock)
    first.open_violations = {BITRATE: dict.fromkeys(list(moving_list.order)[:3], 5.0)}
    await first.collector.sweep()
    first.recorder.reconcile(KEY)
    await clock.sleep(0)
    began = first.collector.status.last_sweep_began
    gone, changed, twice = list(moving_list.order)[:3]
    moving_list.delete(gone)
    moving_list.update(changed)
    moving_list.update(twice)
    created = moving_list.create()
    await clock.sleep(3600)
    second = Process(moving_list, database, clock)
    second.writer.is_away = is_away
    second.open_violations = {BITRATE: {changed: clock.now()}}
    noticed = clock.now()
    await second.collector.sweep()
    second.recorder.reconcile(KEY)
    await clock.sleep(100)
    moving_list.update(twice)
    later = moving_list.create()
    await second.collector.update()
    await clock.sleep(100)
    moving_list.update(later)
    await second.collector.update()
    if is_away:
        second.writer.come_back()
    await clock.sleep(0)
    await second.collector.update()
    await clock.sleep(0)
    found = [(row.change, row.task_id, row.earliest, row.noticed - noticed < 50) for row in _rows(database, CHANGES)]
    missed = [("added", created, began, True), *(("modified", each, began, True) for each in (changed, twice))]
    assert sorted(found[:3]) == sorted(missed)
    looked_up = ("removed", gone, began, False)
    own = [("added", later, None, False), ("modified", twice, None, False), ("modified", later, None, False)]
    assert sorted(found[3:]) == sorted([looked_up, *own])
    (saved,) = database.load()
    ages = {entry.task.task_id: (entry.first_seen, entry.last_changed) for entry in saved.entries}
    known = {entry.task.task_id: (entry.first_seen, entry.last_changed) for entry in second.collector.inventory}
    assert ages == known
    before = {entry.task.task_id: (entry.first_seen, entry.last_changed) for entry in first.collector.inventory}
    assert {task_id: times[0] for task_id, times in before.items() if task_id != gone} == {
        task_id: times[0] for task_id, times in ages.items() if task_id not in {created, later}
    }
    assert {ages[task_id] for task_id in before.keys() - {gone, changed, twice}} <= set(before.values())
    assert noticed <= ages[changed][1] < ages[twice][1]
    assert saved.violations == {BITRATE: {changed: 5.0}}


@pytest.mark.parametrize("is_readable", [True, False])
@on_virtual_time
async def test_what_was_created_or_opened_again_has_a_new_age(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_readable: bool
) -> None:
    """It began after the first sweep. Of tasks that another version stored nobody knows whether they changed."""
    clock = VirtualClock()
    rule = TaskCountRule(Rule(name="expect-tasks", title="Tasks", severity=Severity.WARNING, expect=""), 1, None)
    moving_list = MovingList(tasks=3)
    first = Process(moving_list, database, clock)
    await first.collector.sweep()
    for task_id in ("task-1", "task-2"):
        first.recorder.opened(KEY, rule, task_id, 5.0, "")
    await clock.sleep(0)
    moving_list.delete("task-1")
    await clock.sleep(3600)
    if not is_readable:
        monkeypatch.setattr(database_module, "SHAPE", "another")
    second = Process(moving_list, database, clock)
    second.writer.is_away = True
    await second.collector.sweep()
    moving_list.order.insert(0, "task-1")
    moving_list.versions["task-1"] = 1
    await clock.sleep(10)
    await second.collector.update()
    second.recorder.opened(KEY, rule, "task-1", clock.now(), "")
    second.open_violations = {rule.rule.version: {"task-1": clock.now(), "task-2": clock.now()}}
    second.recorder.reconcile(KEY)
    second.writer.come_back()
    found = [(row.change, row.task_id, row.earliest is None) for row in _rows(database, CHANGES)]
    assert found == [("removed", "task-1", False)] * is_readable + [("added", "task-1", True)]
    (saved,) = database.load()
    ages = {entry.task_id: entry.first_seen for entry in second.collector.inventory}
    assert {task_id for task_id, first_seen in ages.items() if first_seen < clock.now() - 3000} == {"task-0", "task-2"}
    assert second.aged == [{rule.rule.version: {"task-2": 5.0}}]
    assert saved.violations == {rule.rule.version: {"task-1": clock.now(), "task-2": 5.0}}


@on_virtual_time
async def test_violations_that_turn_by_the_age_of_tasks_are_written_once(database: Database) -> None:
    """Where rules are about the age, they are found, or resolved, as soon as the stored ages are known."""
    clock = VirtualClock()
    rule = TaskCountRule(Rule(name="expect-tasks", title="Tasks", severity=Severity.WARNING, expect=""), 1, None)
    moving_list = MovingList(tasks=2)
    first = Process(moving_list, database, clock)
    await first.collector.sweep()
    first.recorder.opened(KEY, rule, "task-0", 5.0, "young")
    await clock.sleep(3600)
    second = Process(moving_list, database, clock)
    second.open_violations = {rule.rule.version: {"task-0": 5.0}}

    def turn() -> None:
        second.open_violations = {rule.rule.version: {"task-1": clock.now()}}
        second.recorder.resolved(KEY, rule, "task-0", 5.0, Resolution.FIXED)
        second.recorder.opened(KEY, rule, "task-1", clock.now(), "old")

    second.on_age = turn
    await second.collector.sweep()
    second.recorder.reconcile(KEY)
    await clock.sleep(0)
    found = [(row.task_id, row.message, row.why) for row in _rows(database, VIOLATIONS)]
    assert found == [("task-0", "young", "fixed"), ("task-1", "old", None)]


@on_virtual_time
async def test_what_another_endpoint_showed_is_not_compared(database: Database) -> None:
    """Its tasks are others, whatever their TaskIds."""
    clock = VirtualClock()
    await Process(MovingList(tasks=3), database, clock).collector.sweep()
    await clock.sleep(3600)
    second = Process(MovingList(tasks=2), database, clock)
    second.endpoint = "https://other.example.com"
    await second.collector.sweep()
    await clock.sleep(0)
    assert (_rows(database, CHANGES), second.aged) == ([], [])
    (saved,) = database.load()
    assert {entry.first_seen > clock.now() - 3000 for entry in saved.entries} == {True}


@pytest.mark.parametrize("is_cut", [True, False])
@on_virtual_time
async def test_a_cut_list_is_no_proof_of_removals(database: Database, is_cut: bool) -> None:
    """Stored tasks that the first sweep did not show are removed if lookups find none of them, else the list is cut."""
    clock = VirtualClock()
    moving_list = MovingList(tasks=60)
    await Process(moving_list, database, clock).collector.sweep()
    await clock.sleep(0)
    for task_id in () if is_cut else moving_list.order[30:]:
        moving_list.delete(task_id)
    await clock.sleep(3600)
    second = Process(moving_list, database, clock)
    second.service.page_of_list = lambda order, window: order[:30][window.start : window.end]
    second.writer.is_away = True
    await second.collector.sweep()
    await clock.sleep(10)
    second.writer.come_back()
    await clock.sleep(0)
    await second.collector.update()
    for _ in range(2):
        await clock.sleep(10)
        await second.collector.sweep()
    await clock.sleep(0)
    removed = [row.task_id for row in _rows(database, CHANGES) if row.change == "removed"]
    assert len(removed) == (0 if is_cut else 30)
    assert second.collector.status.state is (State.PARTIAL if is_cut else State.OK)


@on_virtual_time
async def test_first_seen_survives(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task is as old as the first process that saw it says, also after an upgrade that can't read the tasks."""
    clock = VirtualClock()
    moving_list = MovingList(tasks=3)
    first = Process(moving_list, database, clock)
    await first.collector.sweep()
    for shape in (database_module.SHAPE, "another"):
        await clock.sleep(5)
        monkeypatch.setattr(database_module, "SHAPE", shape)
        second = Process(moving_list, database, clock)
        assert second.restore() is (shape != "another")
        await second.collector.sweep()
        seen = [[entry.first_seen for entry in one.collector.inventory] for one in (first, second)]
        assert seen[0] == seen[1]
        assert second.take() == []


@on_virtual_time
async def test_data_from_the_future_is_not_shown(database: Database) -> None:
    """A clock that was set back must not make old data look young forever."""
    clock = VirtualClock()
    with capture_logs() as log:
        moving_list = MovingList(tasks=3)
        await Process(moving_list, database, clock).collector.sweep()
        await clock.sleep(0)
        clock.set_back(3600)
        assert not Process(moving_list, database, clock).restore()
    said = [(line["event"], line.get("reason")) for line in log]
    assert ("saved tasks are not used", "they are from the future") in said


@on_virtual_time
async def test_a_reading_and_its_violations_are_one_transaction(database: Database) -> None:
    """What comes in one step of the event loop is one batch, and what ends is known by its rule and task."""
    rule = TaskCountRule(Rule(name="expect-tasks", title="Tasks", severity=Severity.WARNING, expect=""), 1, None)
    clock = VirtualClock()
    moving_list = MovingList(tasks=3)
    process = Process(moving_list, database, clock)
    await process.collector.sweep()
    await clock.sleep(0)
    created = moving_list.create()
    process.on_changes = lambda changes: (
        process.recorder.opened(KEY, rule, created, 7.5, "too many users") if changes else None
    )
    await process.collector.update()
    await clock.sleep(0)
    (batch,) = [each for each in process.writer.batches if each.changes]
    assert (list(batch.tasks), len(batch.violations)) == ([created], 1)
    process.recorder.resolved(KEY, rule, created, 0.0, Resolution.FIXED)
    await clock.sleep(0)
    (found,) = _rows(database, VIOLATIONS)
    assert (found.task_id, found.opened, found.message, found.why) == (created, 7.5, "too many users", "fixed")


@on_virtual_time
async def test_nothing_new_costs_nothing(database: Database) -> None:
    """An update that changes nothing is written every few seconds at most."""
    clock = VirtualClock()
    process = Process(MovingList(tasks=3), database, clock)
    await process.collector.sweep()
    await clock.sleep(0)
    before = len(process.writer.batches)
    for _ in range(40):
        await clock.sleep(0.5)
        await process.collector.update()
    assert 2 <= len(process.writer.batches) - before <= 5


@on_virtual_time
async def test_what_waits_of_a_removed_app_is_written(database: Database) -> None:
    """An app may leave the configuration while the database is away: its last changes are recorded all the same."""
    clock = VirtualClock()
    moving_list = MovingList(tasks=3)
    process = Process(moving_list, database, clock)
    await process.collector.sweep()
    await clock.sleep(0)
    process.writer.is_away = True
    created = moving_list.create()
    await process.collector.update()
    process.open_violations = {BITRATE: {created: 5.0}}
    process.recorder.reconcile(KEY)
    process.is_removed = True
    process.writer.come_back()
    assert [row.task_id for row in _rows(database, CHANGES)] == [created]
    assert database.load()[0].violations == process.open_violations


@on_virtual_time
async def test_a_last_write_when_the_recorder_has_left_writes_nothing_again(database: Database) -> None:
    """It comes when the recorder has left the database, and must not keep it from ending or from using another one."""
    clock = VirtualClock()
    moving_list = MovingList(tasks=3)
    await Process(moving_list, database, clock).collector.sweep()
    await clock.sleep(3600)
    process = Process(moving_list, database, clock)
    process.writer.is_away = True
    await process.collector.sweep()
    process.recorder.writer = None
    process.writer.come_back()
    assert all(entry.first_seen < clock.now() - 3000 for entry in process.collector.inventory)
    process.writer._lost(KEY)
    assert process.writer.lag_seconds == 0
