"""The notes of changes: streams that are used again too early, and tasks that were probably restarted."""

import json
from typing import Any

import pytest

from exporter.collector.inventory import Change
from exporter.collector.past import ChangeNotes, HistoryFilter
from exporter.config.model import Collection
from exporter.core.task import Task
from tests.collector.test_task_diff import EXAMPLE, read, with_change
from tests.support.rows import change, changed, example_row
from tests.support.virtual_world import ACCOUNT, World, play

REUSED, RESTARTED = ("stream_reused_too_early",), ("probably_restarted",)
STAGE = "rtmp://push.live.example.com/stage/one"
APP = "live-main"


def task(task_id: str, stream: str = STAGE) -> Task:
    """Return a task that pushes to one stream."""
    row = changed(example_row(), "MultiStreamURL", None)
    return read({**row, "TaskId": task_id, "StreamURL": stream})


def added(task_id: str, stream: str = STAGE) -> Change:
    """Return that a task was added."""
    return change(None, task(task_id, stream))


def removed(task_id: str) -> Change:
    """Return that a task was removed."""
    return change(task(task_id), None)


SIGNED = f"{STAGE}?txSecret={'a' * 32}&txTime=70DBD880"
OTHER = "rtmp://push.live.example.com/stage/other"


@pytest.mark.parametrize(
    ("first", "second", "seconds_between", "expected"),
    [
        (removed("a"), added("b"), 0, REUSED),
        (removed("a"), added("b"), 10, REUSED),
        (removed("a"), added("b"), 10.5, ()),
        (removed("a"), added("a"), 5, REUSED),
        (removed("a"), added("b", SIGNED), 5, REUSED),
        (removed("a"), added("b", OTHER), 5, ()),
        (removed("a"), change(task("b", OTHER), task("b")), 5, REUSED),
        (removed("a"), change(task("b"), task("b", SIGNED)), 5, ()),
        (added("b"), removed("a"), 5, REUSED),
        (added("b"), removed("a"), 10.5, ()),
        (added("a"), removed("a"), 5, ()),
        (change(task("a"), task("a", OTHER)), added("b"), 5, ()),
        (added("a"), added("b"), 5, ()),
    ],
)
def test_a_stream_of_a_removed_task_that_appears_within_ten_seconds_is_noted(
    first: Change, second: Change, seconds_between: float, expected: tuple[str, ...]
) -> None:
    """The change that is noticed second has the note, whatever the keys; moving away or sharing a stream has none."""
    notes = ChangeNotes()
    assert notes.of([first], 100.0, times_known=True) == [()]
    assert notes.of([second], 100.0 + seconds_between, times_known=True) == [expected]


def test_in_one_reading_removals_count_first() -> None:
    """However the changes are ordered, the task that appears has the note."""
    assert ChangeNotes().of([added("b"), removed("a")], 0.0, times_known=True) == [REUSED, ()]


def test_changes_of_an_unknown_time_are_no_reuse() -> None:
    """What happened while the exporter was down may have been hours apart, and is not compared with what follows."""
    notes = ChangeNotes()
    assert notes.of([removed("a"), added("b")], 0.0, times_known=False) == [(), ()]
    assert notes.of([added("c")], 1.0, times_known=True) == [()]


def test_what_is_too_old_is_forgotten() -> None:
    """After a mass deletion nothing stays in memory."""
    notes = ChangeNotes()
    notes.of([removed("a"), added("b", OTHER)], 0.0, times_known=True)
    notes.forget(11.0)
    assert (notes._removed, notes._appeared) == ({}, {})


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("Region", "AP-Singapore", RESTARTED),
        ("Region", "cn-shanghai", ()),
        ("MaxIdleTime", "60", RESTARTED),
        ("SeiParams.PayloadType", "101", RESTARTED),
        ("SeiParams.LayoutVolume.Interval", "2000", ()),
        ("TranscodeParams.EncodeParams.VideoBitrate", "3000", ()),
        ("StreamURL", OTHER, ()),
    ],
)
def test_what_no_update_can_change_was_restarted(path: str, value: Any, expected: tuple[str, ...]) -> None:
    """Region, MaxIdleTime and the SEI payload type under one TaskId, and nothing else."""
    assert ChangeNotes().of([change(EXAMPLE, with_change(path, value))], 0.0, times_known=True) == [expected]


def test_the_notes_of_a_service_are_found() -> None:
    """A stream used again 4 s after its task was stopped and a changed region are noted; the same after 15 s is not."""

    async def scenario(world: World) -> list[tuple[str, str, tuple[str, ...]]]:
        fleet = world.service.fleet
        await world.until_true(APP)
        for stream, pause_seconds in (("soon", 4), ("late", 15)):
            body = json.loads(next(fleet.bodies(APP)))
            body |= {"StreamURL": f"rtmp://push.live.example.com/stage/{stream}", "MultiStreamURL": None}
            fleet.create(APP, {**body, "TaskId": f"{stream}-1"})
            await world.clock.sleep(20)
            fleet.delete(APP, f"{stream}-1")
            await world.clock.sleep(pause_seconds)
            fleet.create(APP, {**body, "TaskId": f"{stream}-2"})
            await world.clock.sleep(20)
        fleet.update(APP, "late-2", {"Region": "EMAA-Saudi"})
        await world.clock.sleep(20)
        assert await world.monitor.history.apps() == {(ACCOUNT, APP)}
        changes = await world.monitor.history.changes(HistoryFilter())
        return [(change.task_id, change.change, change.notes) for change in reversed(changes)]

    often = Collection(interval_seconds=1, sweep_interval_seconds=2, stale_after_seconds=60)
    assert play(scenario, apps={APP: 30}, collection=often) == [
        ("soon-1", "added", ()),
        ("soon-1", "removed", ()),
        ("soon-2", "added", REUSED),
        ("late-1", "added", ()),
        ("late-1", "removed", ()),
        ("late-2", "added", ()),
        ("late-2", "modified", RESTARTED),
    ]
