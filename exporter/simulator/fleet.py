"""The tasks of all apps in the service's own form, and everything that can happen to them.

Rows are JSON bytes: that is what is served, and nothing else is kept of a task. Times are seconds of the clock that
is passed in. A lagging replica is a second set of lists to which the same events come later.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct


class FleetRow(Struct, eq=False):
    """One task as it is in the list."""

    task_id: str
    body: bytes  # its JSON, ready to be joined into a page
    updated_at: float  # seconds of the fleet's clock; nothing in the JSON says it
    marks: tuple[str, ...] = ()  # names of what is wrong with it on purpose
    stopped: bool = False  # though still listed


Body = dict[str, Any]


class Event(Struct, frozen=True):
    """One thing that happened to one task."""

    at: float
    app_id: str
    task_id: str
    body: bytes | None  # what the row is from now on; None: it is gone
    to_front: bool = True
    marks: tuple[str, ...] = ()


class TaskList:
    """The tasks of one app in list order."""

    def __init__(self) -> None:
        self.rows: dict[str, FleetRow] = {}  # the newest update last
        self._order: list[FleetRow] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def order(self) -> list[FleetRow]:
        """The rows as they are now, the newest update first."""
        if self._order is None:
            self._order = list(reversed(self.rows.values()))
        return self._order

    def apply(self, event: Event) -> None:
        """Create, change or remove one row."""
        row = self.rows.get(event.task_id)
        if event.body is None:
            self.rows.pop(event.task_id, None)
        elif row is None:
            self.rows[event.task_id] = FleetRow(event.task_id, event.body, event.at, event.marks)
        else:
            row.body, row.marks, row.stopped = event.body, event.marks, False
            if not event.to_front:
                return
            row.updated_at = event.at
            self.rows[event.task_id] = self.rows.pop(event.task_id)
        self._order = None


class Fleet:
    """All apps and their tasks as they are at this moment."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.apps: dict[str, TaskList] = {}
        self.changed_task_moves = True  # whether a change brings its row to the front of the list
        self.stopped_task_stays_seconds = 0.0  # how long a stopped task is still listed
        self.listeners: list[Callable[[Event], None]] = []  # called after each event
        self._to_remove: list[tuple[float, str, str]] = []
        self._created = 0

    def add_app(self, app_id: str) -> None:
        """Add an app without tasks."""
        self.apps.setdefault(app_id, TaskList())

    def create(self, app_id: str, body: Body, *, marks: tuple[str, ...] = (), at: float | None = None) -> str:
        """Add a task, or replace the one with its TaskId, as the newest of its app; returns its key.

        A body without a TaskId is listed as it is, and known here by a key of its own.
        """
        self._created += 1
        task_id = str(body.get("TaskId") or f"without-task-id-{self._created}")
        self._happen(app_id, task_id, msgspec.json.encode(body), at, marks=marks)
        return task_id

    def update(self, app_id: str, task_id: str, patch: Mapping[str, Any], *, at: float | None = None) -> None:
        """Change a task by a JSON merge patch (RFC 7396: null removes a field).

        Raises:
            KeyError: There is no such app or task.
        """
        row = self.apps[app_id].rows[task_id]
        body = merged(msgspec.json.decode(row.body), patch)
        self.replace(app_id, task_id, body, at=at)

    def replace(self, app_id: str, task_id: str, body: Body, *, at: float | None = None) -> None:
        """Give a task another configuration; raises KeyError if there is no such app or task."""
        row = self.apps[app_id].rows[task_id]
        self._happen(app_id, task_id, msgspec.json.encode(body), at, to_front=self.changed_task_moves, marks=row.marks)

    def resave(self, app_id: str, task_id: str, *, at: float | None = None) -> None:
        """Save a task again as it is: it moves as a changed one does.

        Raises:
            KeyError: There is no such app or task.
        """
        row = self.apps[app_id].rows[task_id]
        self._happen(app_id, task_id, row.body, at, to_front=self.changed_task_moves, marks=row.marks)

    def delete(self, app_id: str, task_id: str, *, at: float | None = None) -> None:
        """Stop a task: it leaves the list, immediately or after `stopped_task_stays_seconds`.

        Raises:
            KeyError: There is no such app or task.
        """
        row = self.apps[app_id].rows[task_id]
        if self.stopped_task_stays_seconds > 0:
            row.stopped = True
            moment = self._now() if at is None else at
            heapq.heappush(self._to_remove, (moment + self.stopped_task_stays_seconds, app_id, task_id))
            return
        self._happen(app_id, task_id, None, at)

    def settle(self, now: float) -> None:
        """Remove stopped tasks whose time is over."""
        while self._to_remove and self._to_remove[0][0] <= now:
            at, app_id, task_id = heapq.heappop(self._to_remove)
            row = self.apps[app_id].rows.get(task_id)
            if row is not None and row.stopped:
                self._happen(app_id, task_id, None, at)

    def bodies(self, app_id: str) -> Iterator[bytes]:
        """Yield the rows of an app in list order; raises KeyError if there is no such app."""
        return (row.body for row in self.apps[app_id].order)

    def _happen(
        self,
        app_id: str,
        task_id: str,
        body: bytes | None,
        at: float | None,
        *,
        to_front: bool = True,
        marks: tuple[str, ...] = (),
    ) -> None:
        """Apply one event here and notify those who listen."""
        event = Event(self._now() if at is None else at, app_id, task_id, body, to_front, marks)
        self.apps[app_id].apply(event)
        for listener in self.listeners:
            listener(event)


class LaggingReplica:
    """The same lists as they were some seconds ago."""

    def __init__(self, fleet: Fleet, lag_seconds: float) -> None:
        self.lag_seconds = lag_seconds
        self.apps: dict[str, TaskList] = {}
        self._fleet = fleet
        self._pending: deque[Event] = deque()
        for app_id, tasks in fleet.apps.items():
            copy = self.apps[app_id] = TaskList()
            for row in tasks.rows.values():
                copy.apply(Event(row.updated_at, app_id, row.task_id, row.body, marks=row.marks))
        fleet.listeners.append(self._pending.append)

    def catch_up(self, now: float) -> None:
        """Apply what happened until `lag_seconds` before `now`."""
        for app_id in self._fleet.apps.keys() - self.apps.keys():
            self.apps[app_id] = TaskList()
        while self._pending and self._pending[0].at <= now - self.lag_seconds:
            event = self._pending.popleft()
            self.apps[event.app_id].apply(event)

    def close(self) -> None:
        """Stop following the fleet."""
        self._fleet.listeners.remove(self._pending.append)


def merged(body: Body, patch: Mapping[str, Any]) -> Body:
    """Return `body` with a JSON merge patch (RFC 7396) applied."""
    result = dict(body)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = value
    return result
