"""What is remembered, noted and logged of changes: the newest, in order, without secrets, and not too many lines."""

import json
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.collector.inventory import Change
from exporter.collector.past import ChangeNotes, FieldChange, History, HistoryFilter, RecordedChange
from exporter.config.model import Collection
from exporter.core.task import Task
from tests.collector.test_task_diff import EXAMPLE, HIDDEN
from tests.support.rows import change, changed, example_row, read, with_change
from tests.support.virtual_time import SetClock, finished
from tests.support.virtual_world import ACCOUNT, World, play

NOON = 1_800_000_000.0
FASTER = with_change("TranscodeParams.EncodeParams.VideoBitrate", "4000")


@pytest.fixture
def clock() -> SetClock:
    """The time."""
    return SetClock(NOON, 100.0)


@pytest.fixture
def lines() -> Iterator[Sequence[MutableMapping[str, Any]]]:
    """What is logged."""
    with capture_logs() as logged:
        yield logged


def added(*numbers: int) -> list[Change]:
    """Return that tasks of these numbers came."""
    return [change(None, with_change("TaskId", f"task-{number}")) for number in numbers]


def test_changes_are_remembered_with_what_may_be_shown(clock: SetClock) -> None:
    """A modified task has its groups in words, before and after; one that came or went has none."""
    history = History(clock)
    recorded = history.record("prod", "live", [change(EXAMPLE, FASTER), change(None, EXAMPLE), change(EXAMPLE, None)])
    assert recorded[0] == RecordedChange(
        number=1,
        noticed=NOON + 100,
        account="prod",
        app_id="live",
        task_id="yourTaskId",
        change="modified",
        fields=(
            FieldChange(
                "video",
                "H.264 high veryfast 1920x1000 3500 kbit/s 30 fps gop 30",
                "H.264 high veryfast 1920x1000 4000 kbit/s 30 fps gop 30",
            ),
        ),
    )
    assert [(change.number, change.change, change.fields) for change in recorded[1:]] == [
        (2, "added", ()),
        (3, "removed", ()),
    ]
    assert finished(history.changes(HistoryFilter())) == list(reversed(recorded))


def test_only_the_newest_are_remembered(clock: SetClock) -> None:
    """The memory is bounded, the numbers go on, and it says how far it reaches."""
    history = History(clock, newest=3)
    assert finished(history.remembered_since(0.0)) == NOON + 100
    clock.seconds = 110
    history.record("prod", "live", added(1, 2))
    assert finished(history.remembered_since(0.0)) == NOON + 100
    clock.seconds = 120
    history.record("prod", "live", added(3, 4))
    assert [change.number for change in finished(history.changes(HistoryFilter()))] == [4, 3, 2]
    assert finished(history.remembered_since(0.0)) == NOON + 110
    clock.seconds = 130
    history.record("prod", "live", added(5, 6))
    assert finished(history.remembered_since(0.0)) == NOON + 120


def test_each_change_is_a_line(clock: SetClock, lines: Sequence[MutableMapping[str, Any]]) -> None:
    """A line has whose task it is, and of a modified one each group with what it was and is."""
    history = History(clock)
    unset = with_change("MaxIdleTime", "")
    pushed_elsewhere = with_change("StreamURL", "rtmp://example.com/live/another")
    history.record("prod", "live", [change(None, EXAMPLE), change(EXAMPLE, unset), change(EXAMPLE, pushed_elsewhere)])
    where = {"account": "prod", "app_id": "live", "task_id": "yourTaskId", "log_level": "info"}
    assert lines == [
        {"event": "task added", **where},
        {"event": "task modified", "idle_timeout": "30 s -> -", "notes": "probably_restarted", **where},
        {
            "event": "task modified",
            "outputs": "rtmp://example.com -> rtmp://example.com, rtmp://example.com",
            **where,
        },
    ]


def test_a_difference_in_what_is_not_shown_is_said(clock: SetClock, lines: Sequence[MutableMapping[str, Any]]) -> None:
    """Where both look alike, the line says that it is another one."""
    History(clock).record("prod", "live", [change(EXAMPLE, with_change("SingleSubParams.UserId", "another"))])
    assert [line["users"] for line in lines] == ["1 user (another)"]


def test_lines_are_limited_for_each_second_and_the_rest_is_counted(
    clock: SetClock, lines: Sequence[MutableMapping[str, Any]]
) -> None:
    """Over all apps there are this many lines a second; how many more it would have been is said when it is over."""
    history = History(clock, lines_per_second=2)
    history.record("prod", "one", added(1))
    history.record("prod", "two", added(2, 3, 4))
    history.flush()
    assert [line["task_id"] for line in lines] == ["task-1", "task-2"]
    clock.seconds += 1
    history.flush()
    history.flush()
    assert [(line["event"], line["tasks"]) for line in lines[2:]] == [
        ("more tasks changed than are logged one by one", 2)
    ]
    history.record("prod", "one", added(5, 6, 7))
    assert [line["task_id"] for line in lines[3:]] == ["task-5", "task-6"]
    clock.seconds += 1
    history.record("prod", "one", added(8))
    assert [line.get("tasks") or line["task_id"] for line in lines[5:]] == [1, "task-8"]
    assert len(finished(history.changes(HistoryFilter()))) == 8


@pytest.mark.parametrize("path", HIDDEN)
def test_what_must_not_be_shown_is_in_no_line_and_in_no_memory(
    clock: SetClock, lines: Sequence[MutableMapping[str, Any]], path: str
) -> None:
    """Push paths, keys, user ids, payloads and unknown fields get as far as neither the log nor the API."""
    hidden: Task = with_change(path, HIDDEN[path])
    history = History(clock)
    history.record("prod", "live", [change(EXAMPLE, hidden), change(hidden, EXAMPLE), change(None, hidden)])
    assert [line["event"] for line in lines] == ["task modified", "task modified", "task added"]
    assert "swordfish" not in repr(lines)
    assert "swordfish" not in repr(finished(history.changes(HistoryFilter())))


REUSED, RESTARTED = ("stream_reused_too_early",), ("probably_restarted",)
STAGE = "rtmp://push.live.example.com/stage/one"
APP = "live-main"


def task(task_id: str, stream: str = STAGE) -> Task:
    """Return a task that pushes to one stream."""
    row = changed(example_row(), "MultiStreamURL", None)
    return read({**row, "TaskId": task_id, "StreamURL": stream})


def came(task_id: str, stream: str = STAGE) -> Change:
    """Return that a task was added."""
    return change(None, task(task_id, stream))


def went(task_id: str) -> Change:
    """Return that a task was removed."""
    return change(task(task_id), None)


SIGNED = f"{STAGE}?txSecret={'a' * 32}&txTime=70DBD880"
OTHER = "rtmp://push.live.example.com/stage/other"


@pytest.mark.parametrize(
    ("first", "second", "seconds_between", "expected"),
    [
        (went("a"), came("b"), 0, REUSED),
        (went("a"), came("b"), 10, REUSED),
        (went("a"), came("b"), 10.5, ()),
        (went("a"), came("a"), 5, REUSED),
        (went("a"), came("b", SIGNED), 5, REUSED),
        (went("a"), came("b", OTHER), 5, ()),
        (went("a"), change(task("b", OTHER), task("b")), 5, REUSED),
        (went("a"), change(task("b"), task("b", SIGNED)), 5, ()),
        (came("b"), went("a"), 5, REUSED),
        (came("b"), went("a"), 10.5, ()),
        (came("a"), went("a"), 5, ()),
        (change(task("a"), task("a", OTHER)), came("b"), 5, ()),
        (came("a"), came("b"), 5, ()),
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
    assert ChangeNotes().of([came("b"), went("a")], 0.0, times_known=True) == [REUSED, ()]


def test_changes_of_an_unknown_time_are_no_reuse() -> None:
    """What happened while the exporter was down may have been hours apart, and is not compared with what follows."""
    notes = ChangeNotes()
    assert notes.of([went("a"), came("b")], 0.0, times_known=False) == [(), ()]
    assert notes.of([came("c")], 1.0, times_known=True) == [()]


def test_what_is_too_old_is_forgotten() -> None:
    """After a mass deletion nothing stays in memory."""
    notes = ChangeNotes()
    notes.of([went("a"), came("b", OTHER)], 0.0, times_known=True)
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
        assert await world.monitor.recorder.history.apps() == {(ACCOUNT, APP)}
        changes = await world.monitor.recorder.history.changes(HistoryFilter())
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
