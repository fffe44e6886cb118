"""A list that changes between any two requests, in memory, and a collector that reads it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from exporter.aliyun.errors import ApiError
from exporter.aliyun.parse_task import Interner
from exporter.aliyun.response import ListPage
from exporter.collector.collector import Collector, CollectorEvents
from exporter.collector.inventory import Change
from exporter.collector.rate_limiter import Limiter
from exporter.collector.reading import LARGEST_PAGE, AppRows, Window, WindowAnswer
from exporter.collector.requests import AccountRequests
from exporter.collector.status import Intervals, Status, Sweep
from exporter.collector.task_diff import kind_of
from exporter.config.model import App
from exporter.core.clock import Clock
from exporter.core.collection_state import State
from tests.support.virtual_time import VirtualClock

APP = "app"
OTHER_APP = "other"  # requests about it are answered as those about `APP`
PAGE = 12
ROUND_TRIP_SECONDS = 0.05
INTERVALS = Intervals(interval_seconds=1, sweep_interval_seconds=10, stale_after_seconds=30, interval_stretch_ratio=1)


class MovingList:
    """Tasks in the order of the list: newest update first. New ones are `task-0`, `task-1` and so on.

    Args:
        tasks: this many are there at first; `task-0` is the oldest.
    """

    def __init__(self, tasks: int = 0) -> None:
        self.order: list[str] = []
        self.versions: dict[str, int] = {}
        self._created = 0
        for _ in range(tasks):
            self.create()

    def create(self) -> str:
        """Add a task in front and return its TaskId, which is never used again."""
        task_id = f"task-{self._created}"
        self._created += 1
        self.order.insert(0, task_id)
        self.versions[task_id] = 1
        return task_id

    def update(self, task_id: str, *, moves: bool = True) -> None:
        """Change a task, which moves it to the front."""
        self.versions[task_id] += 1
        if moves:
            self.resave(task_id)

    def resave(self, task_id: str) -> None:
        """Move a task to the front as it is."""
        self.order.remove(task_id)
        self.order.insert(0, task_id)

    def delete(self, task_id: str) -> None:
        self.order.remove(task_id)
        del self.versions[task_id]

    def row(self, task_id: str) -> dict[str, Any]:
        """Return a task's row as it is now."""
        return {"AppId": APP, "TaskId": task_id, "ChannelId": f"version-{self.versions[task_id]}"}


@dataclass
class ListService:
    """Answers from a list; what it does differently from the likeliest service is set by its fields."""

    tasks: MovingList
    before_answer: Callable[[], None] = lambda: None
    """Called before each answer: what happens to the list between two requests."""
    break_answer: Callable[["ListService"], object] = lambda _service: None
    """Called for each request; may raise ApiError."""
    past_end: str = "empty"  # empty, refused, last_page
    page_of_list: Callable[[list[str], Window], Sequence[str]] | None = None
    """Which TaskIds a window shows of those that are listed; None: as documented."""
    answers_look_ups_with: str | None = None  # a TaskId that nobody asked for
    before_look_up: Callable[[str], Awaitable[object]] | None = None
    """Called with the TaskId of each lookup; may raise ApiError, or never end."""
    one_way_seconds: Callable[[], float] = lambda: ROUND_TRIP_SECONDS / 2
    requests: list[Window | str] = field(default_factory=list)
    """Windows, and the TaskIds of look-ups, in the order of the answers."""

    async def ready(self) -> None:
        """Need no credentials."""

    async def list_tasks(self, app_id: str, *, page_no: int, page_size: int) -> ListPage:
        window = Window(page_no, page_size)
        return await self._answer(window, lambda: self._rows(window), app_id)

    async def look_up(self, app_id: str, task_id: str) -> ListPage:
        if self.before_look_up is not None:
            self.requests.append(task_id)
            await self.before_look_up(task_id)
            self.requests.remove(task_id)
        found = self.answers_look_ups_with or task_id
        return await self._answer(task_id, lambda: [found] if found in self.tasks.versions else [], app_id)

    async def _answer(self, request: Window | str, task_ids: Callable[[], Sequence[str]], app_id: str) -> ListPage:
        assert app_id in {APP, OTHER_APP}
        await asyncio.sleep(self.one_way_seconds())
        self.before_answer()
        self.requests.append(request)
        self.break_answer(self)
        page = page_of(*(self.tasks.row(task_id) for task_id in task_ids()))
        await asyncio.sleep(self.one_way_seconds())
        return page

    def _rows(self, window: Window) -> Sequence[str]:
        order = self.tasks.order
        start = window.start
        if self.page_of_list is not None:
            return self.page_of_list(order, window)
        if start and start >= len(order):
            if self.past_end == "refused":
                raise refused()
            if self.past_end == "last_page" and order:
                start = (len(order) - 1) // window.page_size * window.page_size
        return order[start : start + window.page_size]

    async def fetch(self, window: Window) -> WindowAnswer:
        """Fetch one window, as a `ListReader` asks for it."""
        sent_at = asyncio.get_running_loop().time()
        return WindowAnswer(await self.list_tasks(APP, page_no=window.page_no, page_size=window.page_size), sent_at)


def page_of(*rows: dict[str, Any]) -> ListPage:
    """Return a page that holds rows."""
    return ListPage([msgspec.Raw(msgspec.json.encode(row)) for row in rows])


def refused() -> ApiError:
    """Return what a service answers that does not accept a PageNo."""
    return ApiError(State.REQUEST_REJECTED, "the page is out of range", code="InvalidParam", status=400)


def failing(state: State, *, retryable: bool = False, wait_seconds: float | None = None) -> ApiError:
    """Return a failure of some kind."""
    return ApiError(state, f"it is {state}", retryable=retryable, wait_seconds=wait_seconds)


@dataclass
class Told(CollectorEvents):
    """Hears all that a collector and its requests tell."""

    changes: list[Change] = field(default_factory=list)
    baselines: int = 0
    sweeps: int = 0
    waited_for: list[str] = field(default_factory=list)
    retries: list[State] = field(default_factory=list)
    throttlings: int = 0
    on_changes: Callable[[Sequence[Change]], None] = lambda _changes: None
    on_sweep: Callable[[], None] = lambda: None

    def collected(self, changes: Sequence[Change], *, baseline: bool) -> None:
        self.on_changes(changes)
        if baseline:
            self.baselines += 1
        else:
            self.changes += changes

    def swept(self) -> None:
        self.sweeps += 1
        self.on_sweep()

    def waited(self, priority: str, _seconds: float) -> None:
        """Hear that a request is sent."""
        self.waited_for.append(priority)

    def throttled(self) -> None:
        """Hear that a request was refused."""
        self.throttlings += 1

    def retried(self, reason: State) -> None:
        """Hear that a request is sent again."""
        self.retries.append(reason)

    def take(self) -> list[tuple[str, str]]:
        """Return kind and TaskId of all changes since the last call."""
        taken = [(kind_of(change), change.task_id) for change in self.changes]
        self.changes.clear()
        return taken


def requests_to(
    service: ListService, reported: Told, clock: Clock, *, requests_per_second: float = 1000
) -> AccountRequests:
    """Return the requests of an account that the service belongs to."""
    limiter = Limiter(requests_per_second, clock=clock)
    return AccountRequests(service, limiter, clock=clock, rng=random.Random(1), events=reported)  # noqa: S311 - no secret


def collector_of(
    service: ListService,
    reported: Told,
    clock: Clock,
    *,
    largest_page: int = LARGEST_PAGE,
    max_tasks: int = 10_000,
    requests: AccountRequests | None = None,
) -> Collector:
    """Return a collector that reads the service's list."""
    return Collector(
        account="account",
        app=App(id=APP),
        requests=(requests or requests_to(service, reported, clock)).of_app(APP),
        rows=AppRows(APP, Interner()),
        max_tasks=max_tasks,
        intervals=INTERVALS,
        clock=clock,
        events=reported,
        largest_page=largest_page,
    )


def shown(collector: Collector) -> dict[str, str]:
    """Return TaskId and version of all tasks that a collector shows."""
    return {entry.task_id: entry.channel_id for entry in collector.inventory}


def listed(moving_list: MovingList) -> dict[str, str]:
    """Return TaskId and version of all tasks of a list."""
    return {task_id: moving_list.row(task_id)["ChannelId"] for task_id in moving_list.order}


class Scene:
    """A list, its service, and a collector that reads it in small pages, on the loop that runs."""

    def __init__(
        self,
        tasks: int = 0,
        *,
        largest_page: int = PAGE,
        max_tasks: int = 10_000,
        requests_per_second: float = 1000,
    ) -> None:
        self.list = MovingList(tasks)
        self.service = ListService(self.list)
        self.reported = Told()
        self.clock = VirtualClock()
        self.account = requests_to(self.service, self.reported, self.clock, requests_per_second=requests_per_second)
        self.collector = collector_of(
            self.service,
            self.reported,
            self.clock,
            largest_page=largest_page,
            max_tasks=max_tasks,
            requests=self.account,
        )

    async def start(self) -> None:
        """Let a first sweep be accepted and its tasks grow older than what may lag."""
        await self.collector.sweep()
        await asyncio.sleep(2)
        self.service.requests.clear()

    def fail(self, state: State | None, *, at: int = 0) -> None:
        """Let requests fail from the n-th answer on; None: no more."""
        first = len(self.service.requests) + at

        def fail(service: ListService) -> None:
            if state is not None and len(service.requests) > first:
                raise failing(state)

        self.service.break_answer = fail

    def meanwhile(self, *happenings: Callable[[], object]) -> None:
        """Let things happen before the next answers, one before each."""
        turns = iter(happenings)

        def happen() -> None:
            next(turns, nothing)()

        self.service.before_answer = happen

    def look_ups(self) -> list[str]:
        """Return the TaskIds that were looked up."""
        return [request for request in self.service.requests if isinstance(request, str)]


def status_of(scene: Scene) -> Status:
    """Return what is said of the app now."""
    return scene.collector.status


def sweep_of(scene: Scene) -> Sweep:
    """Return what is said of the last accepted sweep."""
    sweep = scene.collector.status.sweep
    assert sweep is not None
    return sweep


def wants_sweep(scene: Scene) -> bool:
    """Return whether a sweep should run before its turn."""
    return scene.collector.wants_sweep


def nothing() -> None:
    """Let nothing happen before an answer."""


def all_of(act: Callable[[str], object], task_ids: Iterable[str]) -> Callable[[], None]:
    """Return what does something to several tasks at once."""
    task_ids = list(task_ids)

    def do() -> None:
        for task_id in task_ids:
            act(task_id)

    return do
