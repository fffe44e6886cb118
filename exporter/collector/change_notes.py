"""What changes of tasks suggest beyond what changed: streams used again too early, tasks that were restarted."""

from collections.abc import Sequence
from typing import Final

from exporter.collector.entry import Entry
from exporter.collector.inventory import Change

STREAM_REUSED_TOO_EARLY: Final = "stream_reused_too_early"
"""A stream appeared in a task within 10 s of the removal of a task that had it; the vendor asks to wait 10 s. The
change that was noticed second has the note."""
PROBABLY_RESTARTED: Final = "probably_restarted"
"""A field changed that UpdateLiveMPUTask does not have: Region, MaxIdleTime or PayloadType of SeiParams."""

REUSE_SECONDS: Final = 10.0

_Seen = dict[bytes, tuple[float, str]]  # monotonic seconds and TaskId by stream, oldest first


class ChangeNotes:
    """Finds the notes of all apps' changes."""

    def __init__(self) -> None:
        self._removed: _Seen = {}
        self._appeared: _Seen = {}

    def of(self, changes: Sequence[Change], now: float, *, times_known: bool) -> list[tuple[str, ...]]:
        """Return the notes of each change of one reading, in which removals count as noticed first.

        Args:
            changes: Of one app.
            now: Monotonic seconds at which they were noticed.
            times_known: Whether they happened since the update before.
        """
        self.forget(now)
        reused: set[int] = set()
        if times_known:
            removals_first = sorted(enumerate(changes), key=lambda each: each[1].after is not None)
            reused = {number for number, change in removals_first if self._is_reuse(change, now)}
        return [
            (STREAM_REUSED_TOO_EARLY,) * (number in reused) + (PROBABLY_RESTARTED,) * _is_restart(change)
            for number, change in enumerate(changes)
        ]

    def forget(self, now: float) -> None:
        """Forget streams that may be used again."""
        for seen in (self._removed, self._appeared):
            while seen and now - next(iter(seen.values()))[0] > REUSE_SECONDS:
                del seen[next(iter(seen))]

    def _is_reuse(self, change: Change, now: float) -> bool:
        """Take note of a change's streams; return whether one of them is used again too early."""
        before, after = _streams(change.before), _streams(change.after)
        if change.after is not None:
            streams, task_id = after - before, change.after.task_id
            is_reuse = not streams.isdisjoint(self._removed)
        else:
            streams, task_id = before, "" if change.before is None else change.before.task_id
            is_reuse = any(self._appeared[stream][1] != task_id for stream in streams & self._appeared.keys())
        seen = self._removed if change.after is None else self._appeared
        for stream in streams:
            seen.pop(stream, None)
            seen[stream] = now, task_id
        return is_reuse


def _streams(entry: Entry | None) -> frozenset[bytes]:
    return frozenset() if entry is None else frozenset(entry.task.stream_digests)


def _is_restart(change: Change) -> bool:
    return (
        change.before is not None
        and change.after is not None
        and _fixed_while_running(change.before) != _fixed_while_running(change.after)
    )


def _fixed_while_running(entry: Entry) -> tuple[object, ...]:
    configuration = entry.configuration
    sei = configuration.sei
    return configuration.region, configuration.idle_timeout_seconds, None if sei is None else sei.payload_type
