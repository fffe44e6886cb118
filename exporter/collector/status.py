"""What is known about the collection of one app: an immutable value that is replaced whole."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict, replace

from exporter.config.model import App
from exporter.core.collection_state import State

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 10.0


class Intervals(Struct, frozen=True):
    """Effective values for one app, in seconds: the configured ones, stretched where the budget does not suffice."""

    interval_seconds: float
    sweep_interval_seconds: float
    stale_after_seconds: float
    interval_stretch_ratio: float


class Backoff:
    """Pauses that double with each failure in a row and end with the first success."""

    def __init__(self) -> None:
        self._failures = 0
        self.ends_at = -inf  # until when nothing should be tried, in monotonic seconds

    def failed(self, at: float) -> None:
        """Note a failure at a monotonic time."""
        self.ends_at = at + min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._failures)
        self._failures = min(self._failures + 1, 16)

    def succeeded(self) -> None:
        """Note a success."""
        self._failures = 0
        self.ends_at = -inf


class Sweep(Struct, frozen=True):
    """Facts about the last accepted sweep."""

    began: float  # Wall-clock seconds
    duration_seconds: float
    requests: int
    repaired_tasks: int
    """Tasks that its pages missed, because they moved or were created during it, and that were found otherwise."""
    duplicate_rows: int  # rows that came more than once because the list moved, overlaps on purpose not counted
    rows_without_task_id: int
    unmoved_changes: int = 0  # changed tasks that no update could see, because the service left them where they stood


class Status(Intervals, frozen=True):
    """The state of one app, with its effective intervals. Times are wall-clock seconds; None: not yet."""

    account: str
    app_id: str
    name: str
    owner: str
    quota_single: int | None
    quota_mixed: int | None
    state: State
    reason: str  # one line in plain words; empty while the state is ok
    up: bool
    data_available: bool  # whether task families are published
    last_update_began: float | None
    last_sweep_began: float | None
    last_attempt_began: float | None
    attempts: Mapping[tuple[str, State], int]  # by kind (update, sweep) and outcome
    sweep: Sweep | None  # none until a sweep was accepted
    repairs: int = 0  # repaired tasks of all sweeps that this process accepted, added up; so the next
    duplicates_seen: int = 0
    doubtful_tasks: int = 0
    """Known tasks that neither the list nor a lookup settles: not seen, and not proven to be gone."""

    @property
    def key(self) -> tuple[str, str]:
        """Account and AppId."""
        return self.account, self.app_id


class Kind(StrEnum):
    """The two kinds of attempts."""

    UPDATE = "update"
    SWEEP = "sweep"


class StatusTracker:
    """Remembers outcomes; `status` says what they mean at a moment."""

    def __init__(self, account: str, app: App) -> None:
        self._account = account
        self.app = app  # another description of the same app may take its place
        self._outcomes: dict[Kind, tuple[State, str]] = {
            Kind.UPDATE: (State.OK, ""),
            Kind.SWEEP: (State.PENDING, "no sweep has finished yet"),
        }
        self._broken: dict[str, str] = {}  # Why, by the part of the exporter that failed by itself
        self._attempts: Counter[tuple[str, State]] = Counter()
        self._last_attempt_began: float | None = None
        self._last_update_began: float | None = None
        self._sweep: Sweep | None = None
        self._repairs = 0
        self._duplicates_seen = 0
        self._sweep_began_at = -inf
        self._stale_after_at_last_sweep = 0.0
        """Seconds: as of the last accepted sweep, from which the next one was scheduled."""

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

    def recovered(self, part: str) -> None:
        """Note that a part of the exporter that failed by itself works again."""
        self._broken.pop(part, None)

    def updated(self, *, began: float) -> None:
        """Note a successful update, by the wall-clock time when it began."""
        self._attempts[Kind.UPDATE, State.OK] += 1
        self._outcomes[Kind.UPDATE] = (State.OK, "")
        self._last_update_began = began

    def swept(self, sweep: Sweep, intervals: Intervals, *, began_at: float) -> None:
        """Note an accepted sweep, which began at a monotonic time."""
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

    def status(
        self, intervals: Intervals, *, at: float, doubtful_tasks: int = 0, lookups: tuple[State, str] = (State.OK, "")
    ) -> Status:
        """Return what may be said at a monotonic time, with this many tasks in doubt and this state of lookups."""
        broken = ((State.INTERNAL_ERROR, reason) for reason in self._broken.values())
        state, reason = max((*self._outcomes.values(), lookups, *broken), key=lambda outcome: outcome[0].badness)
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
            app_id=self.app.id,
            name=self.app.name,
            owner=self.app.owner,
            quota_single=self.app.quota.single,
            quota_mixed=self.app.quota.mixed,
            state=state,
            reason=reason,
            up=self.has_sweep and state is State.OK,
            data_available=fresh,
            last_update_began=self._last_update_began,
            last_sweep_began=self._sweep.began if self._sweep else None,
            last_attempt_began=self._last_attempt_began,
            **asdict(replace(intervals, stale_after_seconds=stale_after_seconds)),
            attempts=MappingProxyType(dict(self._attempts)),
            sweep=self._sweep,
            repairs=self._repairs,
            duplicates_seen=self._duplicates_seen,
            doubtful_tasks=doubtful_tasks,
        )


class RequestReport(Struct, frozen=True):
    """One HTTP request of a reading."""

    number: int  # from 1, in the order of sending
    asked_for: str  # which part of the list, or which task, in a few words
    attempt: int  # 1, or more where the same request was sent again
    sent_after_seconds: float  # from the beginning of the reading
    waited_seconds: float  # from when it was wanted, or its attempt before had ended, until it was sent
    duration_seconds: float | None  # from sending to the end of the answer; None: it is running
    rows: int | None  # None: it brought none, since it failed or is running
    state: State | None  # how it ended; None: it is running, or was cancelled since the list had ended or moved
    reason: str = ""  # why it failed; empty where it did not


class Difference(Struct, frozen=True):
    """How a reading differs from the tasks that were known when it ended."""

    only_read: int  # tasks that were read and are not known: created a moment ago
    only_known: int  # tasks that are known and were not read: removed a moment ago
    changed: int  # tasks that both have, configured otherwise


class SweepReport(Struct, frozen=True):
    """One reading of one app, under way or ended."""

    account: str
    app_id: str
    began: float  # Wall-clock seconds
    seconds: float  # how long it has taken so far, or took
    requests: tuple[RequestReport, ...]  # the first ones, in the order of sending
    requests_sent: int  # how many there were, those that are left out of `requests` included
    ended: bool
    state: State  # how it ended; `pending` while it is running
    reason: str = ""  # why it failed; empty where it did not
    tasks: int | None = None  # how many were found; None: it is running, or failed
    sweep: Sweep | None = None  # what repairs it took; None: it is running, or failed
    difference: Difference | None = None  # None: it is running, or failed
