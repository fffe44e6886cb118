"""A list, its service, and a collector that reads it in small pages, on virtual time."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from structlog.testing import capture_logs

from exporter.collector.collector import Collector
from exporter.collector.status import Status
from exporter.core.collection_state import State
from tests.support.moving_list import ListService, MovingList, Told, collector_of, failing, requests_to
from tests.support.virtual_time import VirtualClock, run

PAGE = 12


class Scene:
    """A list, its service, and a collector that reads it in small pages."""

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
        self.log: list[Any] = []
        self.collector: Collector
        self._largest_page = largest_page
        self._max_tasks = max_tasks
        self._requests_per_second = requests_per_second

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something with the collector."""

        async def main() -> None:
            self.collector = collector_of(
                self.service,
                self.reported,
                self.clock,
                largest_page=self._largest_page,
                max_tasks=self._max_tasks,
                requests=requests_to(
                    self.service, self.reported, self.clock, requests_per_second=self._requests_per_second
                ),
            )
            await scenario()

        with capture_logs() as self.log:
            run(main(), at_most_seconds=10_000)

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

    def warnings(self) -> list[str]:
        """Return what was logged as a warning."""
        return [entry["event"] for entry in self.log if entry["log_level"] == "warning"]


def status_of(scene: Scene) -> Status:
    """Return what is said of the app now."""
    return scene.collector.status


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
