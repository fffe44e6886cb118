"""A restart with a state file: served at once at its true age, and no storm of changes."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.collector.collector import Collector
from exporter.core.collection_state import State
from exporter.storage.state_file import Findings
from exporter.storage.state_keeper import SAVE_SECONDS, StateKeeper
from tests.support.moving_list import INTERVALS, ListService, MovingList, Told, collector_of, listed, shown
from tests.support.virtual_time import VirtualClock, at_once, run

ENDPOINT = "https://live.example.com"


class Process:
    """What of one process of the exporter counts here: a collector and the keeper of its state."""

    def __init__(
        self, moving_list: MovingList, path: Path | None, clock: VirtualClock, findings: Findings | None = None
    ) -> None:
        self.service = ListService(moving_list)
        self.told = Told()
        self.collector: Collector = collector_of(self.service, self.told, clock)
        self.findings_of: list[tuple[str, str]] = []

        def findings_about(account: str, app_id: str) -> Findings:
            self.findings_of.append((account, app_id))
            return findings or {}

        self.keeper = StateKeeper(
            lambda: [self.collector], endpoint=lambda _account: ENDPOINT, findings=findings_about, clock=clock
        )
        self.keeper.path = path

    async def begin(self) -> bool:
        """Begin with what was saved, as the program does; return whether that was of use."""
        restored = [self.collector.restore(app) for app in await self.keeper.load()]
        return restored == [True]

    async def save(self) -> None:
        """Save at once."""
        await self.keeper.save()


def _scenario(scenario: Callable[[VirtualClock], Coroutine[Any, Any, None]]) -> list[Any]:
    """Run on virtual time; return what was logged."""

    async def main() -> None:
        await scenario(VirtualClock())

    with capture_logs() as log, pytest.MonkeyPatch.context() as patch:
        patch.setattr("exporter.core.threads.Worker.run", at_once)
        run(main(), at_most_seconds=10_000_000)
    return list(log)


def test_a_restart_shows_the_saved_tasks_at_their_true_age(tmp_path: Path) -> None:
    """Until its own first sweep the app is pending, with the data and the times of the process before."""

    async def scenario(clock: VirtualClock) -> None:
        moving_list = MovingList(tasks=30)
        first = Process(moving_list, tmp_path / "state", clock)
        await first.collector.sweep()
        await first.save()
        await clock.sleep(INTERVALS.stale_after_seconds / 2)
        second = Process(moving_list, tmp_path / "state", clock)
        assert await second.begin()
        status = second.collector.status
        assert (status.state, status.up, status.data_available) == (State.PENDING, False, True)
        assert status.last_sweep_began == first.collector.status.last_sweep_began
        assert shown(second.collector) == listed(moving_list)

    _scenario(scenario)


def test_only_what_really_changed_meanwhile_is_a_change(tmp_path: Path) -> None:
    """The saved tasks are the baseline: what came, went or changed since is counted, nothing else."""

    async def scenario(clock: VirtualClock) -> None:
        moving_list = MovingList(tasks=30)
        first = Process(moving_list, tmp_path / "state", clock)
        await first.collector.sweep()
        await first.save()
        gone, changed = list(moving_list.order)[:2]
        moving_list.delete(gone)
        moving_list.update(changed)
        created = moving_list.create()
        second = Process(moving_list, tmp_path / "state", clock)
        await second.begin()
        await second.collector.sweep()
        assert sorted(second.told.take()) == sorted([("removed", gone), ("modified", changed), ("added", created)])
        assert second.told.baselines == 1
        assert second.collector.status.up

    _scenario(scenario)


def test_first_seen_survives(tmp_path: Path) -> None:
    """A task is as old as the first process that saw it says."""

    async def scenario(clock: VirtualClock) -> None:
        moving_list = MovingList(tasks=3)
        first = Process(moving_list, tmp_path / "state", clock)
        await first.collector.sweep()
        await first.save()
        await clock.sleep(5)
        second = Process(moving_list, tmp_path / "state", clock)
        await second.begin()
        await second.collector.sweep()
        seen = [[entry.first_seen for entry in process.collector.inventory] for process in (first, second)]
        assert seen[0] == seen[1]

    _scenario(scenario)


def test_findings_survive(tmp_path: Path) -> None:
    """What violates which version of a rule is saved beside the tasks, as it was at that moment, and comes back."""
    version: tuple[str, ...] = ("video-bitrate", "warning", "", "task.video.bitrate_kbps <= 3000")

    async def scenario(clock: VirtualClock) -> None:
        moving_list = MovingList(tasks=3)
        findings = {version: dict.fromkeys(moving_list.order, 500.5)}
        first = Process(moving_list, tmp_path / "state", clock, findings)
        await first.collector.sweep()
        await first.save()
        assert first.findings_of == [(first.collector.account, first.collector.app.id)]
        (saved,) = await Process(moving_list, tmp_path / "state", clock).keeper.load()
        assert saved.findings() == findings

    _scenario(scenario)


def test_data_that_is_too_old_is_not_shown(tmp_path: Path) -> None:
    """A file from long ago is no better than none: the start is cold, and its first snapshot is the baseline."""

    async def scenario(clock: VirtualClock) -> None:
        moving_list = MovingList(tasks=3)
        first = Process(moving_list, tmp_path / "state", clock)
        await first.collector.sweep()
        await first.save()
        await clock.sleep(INTERVALS.stale_after_seconds + 1)
        second = Process(moving_list, tmp_path / "state", clock)
        assert not await second.begin()
        assert not second.collector.status.data_available
        await second.collector.sweep()
        assert second.told.take() == []

    log = _scenario(scenario)
    assert "saved tasks are not used: they are too old or from the future" in [line["event"] for line in log]


def test_data_from_the_future_is_not_shown(tmp_path: Path) -> None:
    """A clock that was set back must not make old data look young forever."""

    async def scenario(clock: VirtualClock) -> None:
        moving_list = MovingList(tasks=3)
        first = Process(moving_list, tmp_path / "state", clock)
        await first.collector.sweep()
        await first.save()
        clock.set_back(3600)
        assert not await Process(moving_list, tmp_path / "state", clock).begin()

    _scenario(scenario)


def test_a_damaged_file_is_refused_and_the_start_goes_on(tmp_path: Path) -> None:
    """One line says which file and why."""
    path = tmp_path / "state"
    path.write_bytes(b"something else")

    async def scenario(clock: VirtualClock) -> None:
        process = Process(MovingList(tasks=3), path, clock)
        assert not await process.begin()
        await process.collector.sweep()
        assert process.collector.status.up

    warnings = [line for line in _scenario(scenario) if line["log_level"] == "warning"]
    assert warnings == [
        {
            "event": "state file refused, starting without data",
            "path": str(path),
            "reason": "it is no state file of this program",
            "log_level": "warning",
        }
    ]


def test_without_a_path_nothing_is_read_or_written(tmp_path: Path) -> None:
    """It is off unless it is asked for."""

    async def scenario(clock: VirtualClock) -> None:
        process = Process(MovingList(tasks=3), None, clock)
        assert not await process.begin()
        await process.collector.sweep()
        await process.save()

    _scenario(scenario)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_can_not_be_written_is_said_once(tmp_path: Path) -> None:
    """The first failure is logged, the next ones are not, and neither is what works; then that it works again."""
    path = tmp_path / "state"
    path.mkdir()

    async def scenario(clock: VirtualClock) -> None:
        process = Process(MovingList(tasks=3), path, clock)
        await process.collector.sweep()
        await process.save()
        await process.save()
        path.rmdir()
        await process.save()
        await process.save()

    events = [line["event"] for line in _scenario(scenario) if line["event"].startswith("state file")]
    assert events == ["state file not written", "state file written again"]


def test_it_is_written_only_when_a_sweep_was_accepted_since(tmp_path: Path) -> None:
    """Nothing new costs no write, however long it lasts."""
    path = tmp_path / "state"

    async def scenario(clock: VirtualClock) -> None:
        process = Process(MovingList(tasks=3), path, clock)
        saving = asyncio.ensure_future(process.keeper.run())
        await process.collector.sweep()
        await clock.sleep(SAVE_SECONDS + 1)
        written = path.stat().st_mtime_ns
        await clock.sleep(3 * SAVE_SECONDS)
        assert path.stat().st_mtime_ns == written
        await process.collector.sweep()
        await clock.sleep(SAVE_SECONDS + 1)
        assert path.stat().st_mtime_ns != written
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)

    _scenario(scenario)


def test_a_start_says_which_state_it_has(tmp_path: Path) -> None:
    """What is read is told with its newest sweep, and whether a write was cut off; so is that there is nothing yet."""
    path = tmp_path / "state"

    async def scenario(clock: VirtualClock) -> None:
        first = Process(MovingList(tasks=30), path, clock)
        assert not await first.begin()
        await first.collector.sweep()
        await first.save()
        (tmp_path / ".state.1.new").write_bytes(b"half")
        await Process(MovingList(tasks=30), path, clock).begin()

    said = [line for line in _scenario(scenario) if "state file" in line["event"]]
    assert said[0] == {
        "event": "no state file yet, starting without data",
        "path": str(path),
        "log_level": "info",
    }
    began = said[1].pop("newest_sweep")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", began)
    assert said[1] == {
        "event": "state file read",
        "path": str(path),
        "apps": 1,
        "tasks": 30,
        "unfinished_writes": 1,
        "log_level": "info",
    }
