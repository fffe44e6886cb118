"""The state file: what it keeps, and what it refuses."""

import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.inventory import Entry
from exporter.collector.status import Sweep
from exporter.config.loader import load
from exporter.config.mistakes import ConfigError
from exporter.core.regular_file import state_file_refusal
from exporter.core.task import DIGEST_BYTES, DIGEST_GROUPS, Configuration, Output, Task
from exporter.storage import state_file
from exporter.storage.state_file import BEFORE_THIS_PROCESS, Findings, SavedApp, SavedViolations, StateFileError
from tests.metrics.builders import PLAIN
from tests.support.configurations import account, write_configuration

SWEEP = Sweep(
    began=1000.0, duration_seconds=1.5, requests=3, repaired_tasks=0, duplicate_rows=0, rows_without_task_id=1
)


BITRATE: tuple[str, ...] = ("video-bitrate", "warning", "", "task.video.bitrate_kbps <= 3000")
COUNT: tuple[str, ...] = ("expect-tasks", "warning", "", "")
FINDINGS: Findings = {BITRATE: {"task-0": 500.0, "task-3": 600.5}, COUNT: {"": 700.0}}


def _configuration(host: str) -> Configuration:
    output = Output(scheme="rtmp", host=host, is_ali_cdn=None, has_userinfo=False)
    return msgspec.structs.replace(PLAIN, outputs=(output,), idle_timeout_seconds=60)


def _entries(count: int) -> list[Entry]:
    return [
        Entry(
            Task(
                f"task-{number}",
                "channel",
                _configuration(f"push-{number % 2}.example.com"),
                number,
                bytes(DIGEST_BYTES * (len(DIGEST_GROUPS) + 1)),
            ),
            first_seen=100.0 + number,
            last_changed=200.0 + number,
            sent_at=5.0,
        )
        for number in range(count)
    ]


def _app(count: int = 4, findings: Findings = FINDINGS) -> SavedApp:
    return state_file.saved_app(
        "prod", "live", SWEEP, 1010.0, _entries(count), endpoint="https://live.example.com", findings=findings
    )


@given(st.integers(0, 30))
def test_everything_comes_back(count: int) -> None:
    """Tasks, their times and the facts of the sweep survive; when they were read counts as before this process."""
    (app,) = state_file.decode(state_file.encode([_app(count)]))
    assert (app.account, app.app_id, app.sweep, app.last_update_began) == ("prod", "live", SWEEP, 1010.0)
    expected = [msgspec.structs.replace(entry, sent_at=BEFORE_THIS_PROCESS) for entry in _entries(count)]
    assert list(app.entries()) == expected


def test_findings_come_back_with_their_times() -> None:
    """Each version of a rule has the tasks that violate it, or the app as a whole, and since when."""
    (app,) = state_file.decode(state_file.encode([_app()]))
    assert app.findings() == FINDINGS


def test_findings_about_unknown_tasks_are_left_out() -> None:
    """A finding is saved with its task or not at all, and a rule without any is not named."""
    assert _app(1).findings() == {BITRATE: {"task-0": 500.0}, COUNT: {"": 700.0}}
    assert _app(0, {BITRATE: {"task-0": 500.0}}).violations == []


def test_a_finding_costs_a_number_and_a_time() -> None:
    """No TaskId, no message and no text of a task is saved a second time for its findings."""
    findings = {BITRATE: {f"task-{number}": 500.0 for number in range(1000)}}
    saved = _app(1000, findings).violations
    assert msgspec.to_builtins(saved) == [[BITRATE, list(range(1000)), [500.0] * 1000]]


@pytest.mark.parametrize(("tasks", "since"), [([4], [1.0]), ([-2], [1.0]), ([0, 1], [1.0])])
def test_a_violation_of_nothing_is_refused(tasks: list[int], since: list[float]) -> None:
    """A file whose findings don't fit its tasks is damaged, whatever its checksum says."""
    app = msgspec.structs.replace(_app(4), violations=[SavedViolations(BITRATE, tasks, since)])
    with pytest.raises(StateFileError, match="a violation refers to nothing"):
        state_file.decode(state_file.encode([app]))


def test_equal_configurations_are_saved_once() -> None:
    """A fleet costs by its variety."""
    assert len(_app(100).configurations) == 2


@given(st.binary(max_size=300))
def test_what_is_no_state_file_is_refused(data: bytes) -> None:
    """Whatever is in a file, it is refused with a reason, not taken for a state."""
    with pytest.raises(StateFileError, match=r"no state file|another version|damaged"):
        state_file.decode(data)


@given(st.data())
def test_every_damage_is_noticed(data: st.DataObject) -> None:
    """A bit that turned, or an end that is missing, makes the file unusable."""
    whole = state_file.encode([_app()])
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        place = data.draw(st.integers(0, len(whole) - 1))
        damaged = whole[:place] + bytes([whole[place] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[place + 1 :]
    with pytest.raises(StateFileError):
        state_file.decode(damaged)


def test_another_version_is_named() -> None:
    """A file of another format is refused as such: it is not damaged."""
    other = state_file.encode([_app()]).replace(b"rtcmpu-state 1 ", b"rtcmpu-state 2 ", 1)
    with pytest.raises(StateFileError, match="another version"):
        state_file.decode(other)


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """Nobody else on the machine learns what is configured."""
    path = tmp_path / "state" / "rtcmpu.state"
    state_file.write(path, state_file.encode([_app()]))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert state_file.read(path) == [_app()]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new one takes the old one's place, and nothing is left beside it."""
    path = tmp_path / "rtcmpu.state"
    state_file.write(path, state_file.encode([_app(1)]))
    state_file.write(path, state_file.encode([_app(2)]))
    assert state_file.read(path) == [_app(2)]
    assert [file.name for file in tmp_path.iterdir()] == ["rtcmpu.state"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be put in place costs nothing but itself."""
    path = tmp_path / "rtcmpu.state"
    state_file.write(path, state_file.encode([_app(1)]))
    monkeypatch.setattr(Path, "replace", lambda _self, target: Path(tmp_path / "none").rename(target))
    with pytest.raises(OSError, match=r"rtcmpu\.state"):
        state_file.write(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["rtcmpu.state"]
    assert state_file.read(path) == [_app(1)]


@pytest.mark.parametrize("kind", ["a key", "the configuration", "a FIFO", "a socket", "a directory", "a link to a key"])
def test_what_is_not_ours_is_neither_read_nor_replaced(kind: str, tmp_path: Path) -> None:
    """A file without our mark, and whatever is no regular file, stays as it is, and nobody waits for it."""
    path = tmp_path / "file"
    content = "accounts: []" if kind == "the configuration" else "-----BEGIN PRIVATE KEY-----"
    match kind:
        case "a FIFO":
            os.mkfifo(path)
        case "a socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(path))
        case "a directory":
            path.mkdir()
        case "a link to a key":
            (tmp_path / "key").write_text(content)
            path.symlink_to(tmp_path / "key")
        case _:
            path.write_text(content)
    before = path.lstat().st_ino
    with pytest.raises(StateFileError):
        state_file.read(path)
    with pytest.raises(StateFileError):
        state_file.write(path, state_file.encode([_app()]))
    assert path.lstat().st_ino == before
    config = write_configuration(
        tmp_path, account("https://live.example.com"), rest=f"collection: {{state_file: {path}}}\n"
    )
    with pytest.raises(ConfigError, match=rf"state_file '{path}' would be replaced: .*, expected a name of its own"):
        load(config, {})


@pytest.mark.parametrize("content", [None, b"", b"rtcmpu-state 0 of an earlier version\n"])
def test_a_new_an_empty_and_a_damaged_file_of_ours_are_replaced(content: bytes | None, tmp_path: Path) -> None:
    """None of them holds anything of somebody else's."""
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    assert state_file_refusal(path) is None
    state_file.write(path, state_file.encode([_app()]))
    assert state_file.read(path) == [_app()]


def test_writers_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    """Two processes with one id, as in two containers on one volume, never rename what the other has not finished."""
    path = tmp_path / "file"
    files = {count: state_file.encode([_app(count)]) for count in (1, 20)}

    def write(data: bytes) -> None:
        for _ in range(100):
            state_file.write(path, data)
            assert path.read_bytes() in files.values()

    with ThreadPoolExecutor() as writers:
        list(writers.map(write, files.values()))
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_no_file_is_no_mistake(tmp_path: Path) -> None:
    """The first start has none."""
    assert state_file.read(tmp_path / "none") is None


def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    """The reason is the system's."""
    with pytest.raises(StateFileError, match="directory"):
        state_file.read(tmp_path)
