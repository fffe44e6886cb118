"""How it stands with one app: from outcomes of updates and sweeps to what may be said and shown."""

from collections import Counter
from enum import StrEnum
from types import MappingProxyType

from msgspec.structs import replace

from exporter.collect.intervals import Intervals
from exporter.collect.status import Status, Sweep
from exporter.config.model import App
from exporter.state import State


class Kind(StrEnum):
    """The two kinds of attempts."""

    UPDATE = "update"
    SWEEP = "sweep"


class Standing:
    """Remembers outcomes; `status` says what they mean at a moment."""

    def __init__(self, account: str, app: App) -> None:
        self._account = account
        self._app = app
        self._outcomes: dict[Kind, tuple[State, str]] = {
            Kind.UPDATE: (State.OK, ""),
            Kind.SWEEP: (State.PENDING, "no sweep has finished yet"),
        }
        self._broken: dict[str, str] = {}
        """Why, by the part of the exporter that failed by itself."""
        self._attempts: Counter[tuple[str, State]] = Counter()
        self._last_attempt_began: float | None = None
        self._last_update_began: float | None = None
        self._sweep: Sweep | None = None
        self._repairs = 0
        self._duplicates_seen = 0
        self._sweep_began_at = float("-inf")
        self._stale_after_at_last_sweep = 0.0
        """Seconds: what held when the last sweep was accepted, since the next one was laid by it."""

    def describe(self, app: App) -> None:
        """Take on another description of the same app."""
        self._app = app

    @property
    def has_sweep(self) -> bool:
        """Whether a sweep was ever accepted."""
        return self._sweep is not None

    @property
    def attempted(self) -> bool:
        """Whether an attempt of any kind has finished."""
        return bool(self._attempts)

    def began(self, *, now: float) -> None:
        """Note that an attempt begins, at a wall-clock time."""
        self._last_attempt_began = now

    def failed(self, kind: Kind, outcome: State, reason: str) -> None:
        """Note an attempt that did not succeed, with a line that says why."""
        self._attempts[kind, outcome] += 1
        self._outcomes[kind] = (outcome, reason)
        if kind is Kind.SWEEP:
            self._stale_after_at_last_sweep = 0.0

    def broke(self, part: str, reason: str) -> None:
        """Note an exception of the exporter's own; it counts until the same part succeeds."""
        if part in {kind.value for kind in Kind}:
            self._attempts[part, State.INTERNAL_ERROR] += 1
        self._broken[part] = reason

    def mended(self, part: str) -> None:
        """Note that a part of the exporter that failed by itself works again."""
        self._broken.pop(part, None)

    def updated(self, *, began: float) -> None:
        """Note a successful update, by the wall-clock time when it began."""
        self._attempts[Kind.UPDATE, State.OK] += 1
        self._outcomes[Kind.UPDATE] = (State.OK, "")
        self._last_update_began = began

    def swept(self, sweep: Sweep, intervals: Intervals, *, began_at: float) -> None:
        """Note an accepted sweep.

        Args:
            sweep: What it was.
            intervals: What holds now. That they shrink later must not make its data stale before the next sweep.
            began_at: Monotonic seconds: its age must not depend on the wall clock.
        """
        self._stale_after_at_last_sweep = intervals.stale_after_seconds
        self._attempts[Kind.SWEEP, State.OK] += 1
        self._outcomes[Kind.SWEEP] = (State.OK, "")
        self._sweep = sweep
        self._sweep_began_at = began_at
        self._repairs += sweep.repaired_tasks
        self._duplicates_seen += sweep.duplicate_rows

    def repaired(self, tasks: int) -> None:
        """Note tasks that the last sweep's pages missed and that lookups found since."""
        if self._sweep is not None and tasks:
            self._sweep = replace(self._sweep, repaired_tasks=self._sweep.repaired_tasks + tasks)
            self._repairs += tasks

    def restored(self, sweep: Sweep, *, last_update_began: float | None, began_at: float) -> None:
        """Begin with a sweep that an earlier process accepted: its data counts, a sweep of this process is pending."""
        self._sweep = sweep
        self._sweep_began_at = began_at
        self._last_update_began = last_update_began

    def status(self, intervals: Intervals, *, at: float, doubtful_tasks: int = 0) -> Status:
        """Return what may be said at a monotonic time, with so many tasks in doubt."""
        broken = ((State.INTERNAL_ERROR, reason) for reason in self._broken.values())
        state, reason = max((*self._outcomes.values(), *broken), key=lambda outcome: outcome[0].badness)
        age_seconds = at - self._sweep_began_at
        stale_after_seconds = intervals.stale_after_seconds
        if stale_after_seconds < age_seconds <= self._stale_after_at_last_sweep:
            stale_after_seconds = self._stale_after_at_last_sweep
        fresh = self.has_sweep and age_seconds <= stale_after_seconds
        if state is State.OK and not fresh:
            # Nothing has failed, and yet nothing came: attempts are still under way.
            state, reason = State.TIMEOUT, f"no sweep was complete for {stale_after_seconds:g} s, and none has ended"
        return Status(
            account=self._account,
            app_id=self._app.id,
            name=self._app.name,
            owner=self._app.owner,
            quota_single=self._app.quota.single,
            quota_mixed=self._app.quota.mixed,
            state=state,
            reason=reason,
            up=self.has_sweep and state is State.OK,
            data_available=fresh,
            last_update_began=self._last_update_began,
            last_sweep_began=self._sweep.began if self._sweep else None,
            last_attempt_began=self._last_attempt_began,
            interval_seconds=intervals.interval_seconds,
            sweep_interval_seconds=intervals.sweep_interval_seconds,
            stale_after_seconds=stale_after_seconds,
            interval_stretch_ratio=intervals.stretch_ratio,
            attempts=MappingProxyType(dict(self._attempts)),
            sweep=self._sweep,
            repairs=self._repairs,
            duplicates_seen=self._duplicates_seen,
            doubtful_tasks=doubtful_tasks,
        )
