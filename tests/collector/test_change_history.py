"""What is remembered and logged of changes: the newest, in order, without secrets, and not too many lines."""

from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.collector.inventory import Change
from exporter.collector.past import FieldChange, History, HistoryFilter, RecordedChange
from exporter.core.task import Task
from tests.collector.test_task_diff import EXAMPLE, HIDDEN, with_change
from tests.support.rows import change
from tests.support.virtual_time import SetClock, finished

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
