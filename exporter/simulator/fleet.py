"""The tasks of all apps as JSON rows, and everything that can happen to them.

A lagging replica is a second set of lists to which the same events come later. Churn is due at moments that follow from
the seed alone.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from random import Random
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from exporter.simulator.task_maker import Body, TaskMaker, merged


class FleetRow(Struct, eq=False):
    """One task as it is in the list."""

    task_id: str
    body: bytes  # its JSON, ready to be joined into a page
    updated_at: float  # seconds of the fleet's clock; nothing in the JSON says it
    marks: tuple[str, ...] = ()  # names of what is wrong with it on purpose
    stopped: bool = False  # though still listed


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
        """Add a task, or replace the one with its TaskId, as the newest of its app; returns its key."""
        self._created += 1
        task_id = str(body.get("TaskId") or f"without-task-id-{self._created}")
        self._happen(app_id, task_id, msgspec.json.encode(body), at, marks=marks)
        return task_id

    def update(self, app_id: str, task_id: str, patch: Mapping[str, Any], *, at: float | None = None) -> None:
        """Change a task by a JSON merge patch (RFC 7396: null removes a field); raises KeyError if there is none."""
        row = self.apps[app_id].rows[task_id]
        body = msgspec.json.encode(merged(msgspec.json.decode(row.body), patch))
        self._happen(app_id, task_id, body, at, to_front=self.changed_task_moves, marks=row.marks)

    def resave(self, app_id: str, task_id: str, *, at: float | None = None) -> None:
        """Save a task again as it is: it moves as a changed one does; raises KeyError if there is none."""
        row = self.apps[app_id].rows[task_id]
        self._happen(app_id, task_id, row.body, at, to_front=self.changed_task_moves, marks=row.marks)

    def delete(self, app_id: str, task_id: str, *, at: float | None = None) -> None:
        """Stop a task: it leaves the list, after `stopped_task_stays_seconds` if set; KeyError if there is none."""
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


SECONDS_BETWEEN_FIRST_UPDATES: Final = 20.0  # how far apart the tasks of a generated app were updated, before the start


def populate(
    fleet: Fleet, app_id: str, count: int, *, random: Random, started_at: float, mixed_share: float = 0.85
) -> None:
    """Add an app with `count` tasks to the fleet, the last of them updated at `started_at`."""
    fleet.add_app(app_id)
    maker = TaskMaker(random)
    for age in range(count - 1, -1, -1):
        body = maker.any(app_id, mixed_share=mixed_share)
        fleet.create(app_id, body, at=started_at - age * SECONDS_BETWEEN_FIRST_UPDATES)


MAX_EVENTS_PER_SECOND: Final = 1000.0
"""Of each kind: at rates without a bound a moment would have more events than can ever be made."""

_PerSecond = Annotated[float, Meta(ge=0, le=MAX_EVENTS_PER_SECOND)]

Burst = Literal["update", "delete", "create", "replace", "resave_newest"]


MIXED_AMONG_SINGLE: Final = 0.15
"""This many of the tasks that are created like a single-stream one are mixed: nobody is always right."""


class Rates(Struct, frozen=True, forbid_unknown_fields=True):
    """Events per second over the whole fleet, spread over the apps by their numbers of tasks."""

    update: _PerSecond = 0.0
    create: _PerSecond = 0.0
    delete: _PerSecond = 0.0
    resave: _PerSecond = 0.0  # saved again without a change

    @classmethod
    def mixture(cls, events_per_second: float) -> "Rates":
        """Return the mixture of a usual day: 60 % updates, 15 % creations, 15 % deletions, 10 % saved again."""
        total = events_per_second
        return cls(update=0.6 * total, create=0.15 * total, delete=0.15 * total, resave=0.1 * total)

    @property
    def total(self) -> float:
        """All events per second."""
        return self.update + self.create + self.delete + self.resave


class Churn:
    """Changes a fleet."""

    def __init__(self, fleet: Fleet, random: Random, now: float) -> None:
        self._fleet = fleet
        self._random = random
        self._maker = TaskMaker(random)
        self.rates = Rates()  # those that are set
        self._next_at = now

    def set_rates(self, rates: Rates, now: float) -> None:
        """Let events happen at other rates from `now` on; all zero ends them."""
        self.advance(now)
        self.rates = rates
        self._next_at = now + self._gap()

    def advance(self, now: float) -> None:
        """Let everything happen that is due until `now`, each at its own time."""
        while self.rates.total > 0 and self._next_at <= now:
            self._one_event(self._next_at)
            self._next_at += self._gap()

    def burst(self, kind: Burst, app_id: str, count: int, now: float) -> None:
        """Let `count` events happen in an app, which must exist; `replace` deletes as many as it creates."""
        order = self._fleet.apps[app_id].order
        if kind == "resave_newest":
            for row in reversed(order[:count]):
                if not row.stopped:
                    self._fleet.resave(app_id, row.task_id, at=now)
            return
        if kind in {"update", "delete", "replace"}:
            rows = [row for row in order if not row.stopped]
            for row in self._random.sample(rows, min(count, len(rows))):
                if kind == "update":
                    self._fleet.update(app_id, row.task_id, self._patch(row), at=now)
                else:
                    self._fleet.delete(app_id, row.task_id, at=now)
        if kind in {"create", "replace"}:
            for _ in range(count):
                self._fleet.create(app_id, self._maker.any(app_id), at=now)

    def _gap(self) -> float:
        return self._random.expovariate(self.rates.total) if self.rates.total > 0 else 0.0

    def _one_event(self, at: float) -> None:
        """Let one event happen to a random task; new ones are mostly of its mode, the marked ones stay."""
        sizes = {app_id: len(tasks) for app_id, tasks in self._fleet.apps.items()}
        if not any(sizes.values()):
            return
        app_id = self._random.choices(list(sizes), list(sizes.values()))[0]
        rates = self.rates
        (kind,) = self._random.choices(
            ("update", "create", "delete", "resave"), (rates.update, rates.create, rates.delete, rates.resave)
        )
        place = self._random.randrange(sizes[app_id])
        row = next(islice(reversed(self._fleet.apps[app_id].rows.values()), place, None))  # `order` copies all
        if kind == "create":
            mixed_share = MIXED_AMONG_SINGLE if b'"MixMode":"0"' in row.body else 1.0
            self._fleet.create(app_id, self._maker.any(app_id, mixed_share=mixed_share), at=at)
            return
        if row.stopped or (kind == "delete" and row.marks):
            return
        if kind == "update":
            self._fleet.update(app_id, row.task_id, self._patch(row), at=at)
        elif kind == "delete":
            self._fleet.delete(app_id, row.task_id, at=at)
        else:
            self._fleet.resave(app_id, row.task_id, at=at)

    def _patch(self, row: FleetRow) -> dict[str, Any]:
        fresh = f"{self._random.getrandbits(40):010x}"
        if row.marks:
            return {"ChannelId": f"channel-{fresh}"}
        if b'"TranscodeParams"' not in row.body or self._random.random() < 0.3:
            return {"ChannelId": f"channel-{fresh}", "MaxIdleTime": self._random.choice(("120", "300", "600"))}
        if b'"VideoBitrate"' in row.body and self._random.random() < 0.6:
            bitrate_kbps = self._random.randrange(800, 3000)
            return {"TranscodeParams": {"EncodeParams": {"VideoBitrate": str(bitrate_kbps)}}}
        return {"TranscodeParams": {"Background": {"URL": f"https://assets.example.com/backgrounds/{fresh}.png"}}}
