"""Keeps the state file in step with what was accepted, and begins with it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from exporter.collector.collector import Collector
from exporter.collector.inventory import Entry
from exporter.collector.status import Status
from exporter.core.clock import Clock
from exporter.core.threads import Worker
from exporter.storage import state_file
from exporter.storage.state_file import Findings, SavedApp, StateFileError

SAVE_SECONDS: Final = 30.0
"""How often the file is written at most; at a stop it is written too."""
LONGEST_LAST_SAVE_SECONDS: Final = 10.0
"""How long a stop waits for the file at most."""


class StateKeeper:
    """Reads the file once and writes it whenever a sweep has been accepted since.

    Args:
        collectors: All that are to be saved, as they are now.
        endpoint: Returns the service of an account.
        findings: Those about an app, by account and AppId; what it returns must not change later.
        clock: For the pauses.
    """

    def __init__(
        self,
        collectors: Callable[[], Iterable[Collector]],
        *,
        endpoint: Callable[[str], str],
        findings: Callable[[str, str], Findings] = lambda _account, _app_id: {},
        clock: Clock,
    ) -> None:
        self._collectors = collectors
        self._endpoint = endpoint
        self._findings = findings
        self._clock = clock
        self._worker = Worker("state file")
        self._saved_sweeps: dict[tuple[str, str], float] = {}
        self._fails = False
        self.path: Path | None = None
        """Where the file is; None: nothing is kept."""

    async def load(self) -> Sequence[SavedApp]:
        """Return what an earlier process accepted; nothing where there is no file, or one that can't be used."""
        if self.path is None:
            return ()
        try:
            saved: Sequence[SavedApp] | None = await self._worker.run(state_file.read, self.path)
            unfinished: Sequence[Path] = await self._worker.run(state_file.unfinished_writes, self.path)
        except StateFileError as error:
            structlog.get_logger().warning(
                "state file refused, starting without data", path=str(self.path), reason=str(error)
            )
            return ()
        _tell_what_was_read(self.path, saved, unfinished)
        return saved or ()

    async def run(self) -> None:
        """Save every now and then, for ever."""
        while True:
            await self._clock.sleep(SAVE_SECONDS)
            await self.save()

    async def save_at_stop(self) -> None:
        """Write the file with what has changed since the last sweep, too."""
        self._saved_sweeps = {}
        try:
            async with asyncio.timeout(LONGEST_LAST_SAVE_SECONDS):
                await self.save()
        except TimeoutError:
            structlog.get_logger().warning("state file not written in time", path=str(self.path))

    async def save(self) -> None:
        """Write the file where a sweep has been accepted since; a failure is logged when it begins and ends."""
        collectors = [collector for collector in self._collectors() if collector.status.sweep is not None]
        sweeps = {
            (collector.account, collector.app.id): collector.status.last_sweep_began or 0.0 for collector in collectors
        }
        if self.path is None or sweeps == self._saved_sweeps:
            return
        # Entries never change, so that a list of them can be written while the inventory goes on.
        states = [
            _State(
                collector.status,
                self._endpoint(collector.account),
                list(collector.inventory),
                self._findings(collector.account, collector.app.id),
            )
            for collector in collectors
        ]
        try:
            await self._worker.run(_write, self.path, states)
        except (OSError, StateFileError) as error:
            if not self._fails:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                structlog.get_logger().warning("state file not written", path=str(self.path), reason=reason)
            self._fails = True
        else:
            if self._fails:
                structlog.get_logger().info("state file written again", path=str(self.path))
            self._fails = False
            self._saved_sweeps = sweeps


def _tell_what_was_read(path: Path, saved: Sequence[SavedApp] | None, unfinished: Sequence[Path]) -> None:
    """Say which state this start begins with."""
    if saved is None:
        structlog.get_logger().info("no state file yet, starting without data", path=str(path))
        return
    newest = max((app.sweep.began for app in saved), default=None)
    structlog.get_logger().info(
        "state file read",
        path=str(path),
        apps=len(saved),
        tasks=sum(len(app.tasks) for app in saved),
        newest_sweep=None if newest is None else _utc(newest),
        unfinished_writes=len(unfinished),
    )


def _utc(timestamp: float) -> str:
    """Write a time to the millisecond."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _State(NamedTuple):
    """One app at one moment."""

    status: Status
    endpoint: str
    entries: Sequence[Entry]
    findings: Findings


def _write(path: Path, states: Iterable[_State]) -> None:
    apps = [
        state_file.saved_app(
            status.account,
            status.app_id,
            status.sweep,
            status.last_update_began,
            entries,
            endpoint=endpoint,
            findings=findings,
        )
        for status, endpoint, entries, findings in states
        if status.sweep is not None
    ]
    state_file.write(path, state_file.encode(apps))
