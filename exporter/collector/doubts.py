"""Tasks that are known and that the list did not show, until something settles what became of them.

That a task was not seen is no proof that it is gone: it may have moved. A task is in doubt until it is seen again, or a
lookup by its TaskId comes back empty, or the list proves that it holds no other tasks than it showed. A lookup that
fails leaves it in doubt, and is tried again later.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from heapq import nsmallest
from typing import Any, Final, Protocol
from zlib import crc32

import msgspec

from exporter.aliyun.errors import ApiError
from exporter.collector.entry import Entry
from exporter.collector.reading import Rows, WindowAnswer
from exporter.collector.requests import cancel_all
from exporter.core.clock import Clock
from exporter.core.collection_state import State

LOOKUPS_AT_ONCE: Final = 8
FIRST_PAUSE_SECONDS: Final = 5.0
"""After a lookup that failed, before the same task is looked up again; it doubles each time."""
LONGEST_PAUSE_SECONDS: Final = 300.0


class TaskRequests(Protocol):
    """Sends lookups."""

    def look_up(self, task_id: str) -> Coroutine[Any, Any, WindowAnswer]:
        """Ask for one task; raises ApiError."""


class Doubt(msgspec.Struct):
    """One task in doubt. Times are monotonic seconds."""

    since: float  # when the reading that did not show it began
    failures: int = 0  # lookups that brought no answer about it
    retry_at: float = 0.0


class Found(msgspec.Struct, frozen=True):
    """What a lookup says of a task."""

    task_id: str
    row: Entry | None  # None: the service knows no such task
    sent_at: float  # monotonic seconds


class Doubts:
    """The tasks of one app that are in doubt."""

    def __init__(self) -> None:
        self._doubts: dict[str, Doubt] = {}

    def __len__(self) -> int:
        return len(self._doubts)

    def since(self, task_id: str) -> float | None:
        """Return since when a task is in doubt; None: it is not."""
        doubt = self._doubts.get(task_id)
        return None if doubt is None else doubt.since

    def add(self, task_ids: Iterable[str], *, since: float) -> None:
        """Note tasks that a reading did not show."""
        for task_id in task_ids:
            self._doubts.setdefault(task_id, Doubt(since))

    def settle(self, task_ids: Iterable[str]) -> None:
        """Forget tasks of which it is known what became of them; others may be among them."""
        if self._doubts:
            for task_id in task_ids:
                self._doubts.pop(task_id, None)

    def failed(self, task_id: str, *, at: float, answered: bool) -> None:
        """Note a lookup that failed: others go first, and the next one waits.

        Args:
            task_id: whose.
            at: monotonic seconds.
            answered: False: it was given up before an answer came.
        """
        doubt = self._doubts.get(task_id)
        if doubt is not None:
            pause = FIRST_PAUSE_SECONDS * 2 ** min(doubt.failures, 16) if answered else FIRST_PAUSE_SECONDS
            doubt.failures += 1
            doubt.retry_at = at + min(LONGEST_PAUSE_SECONDS, pause)

    def sample(self, task_ids: Iterable[str], most: int = 15) -> list[str]:
        """Return some of the tasks, those that did not fail first, else as their TaskIds have it.

        A sample by age would hold what was deleted long ago; one by chance would be another each time it is tried.
        """
        chosen = [task_id for task_id in task_ids if task_id in self._doubts]
        return nsmallest(most, chosen, key=lambda task_id: (self._doubts[task_id].failures, crc32(task_id.encode())))

    def in_turn(self) -> list[str]:
        """Return tasks in the order in which they are looked up: those that did not fail, then the longest in doubt."""
        return sorted(self._doubts, key=lambda task_id: (self._doubts[task_id].failures, self._doubts[task_id].since))

    def due(self, at: float) -> list[str]:
        """Return the tasks whose lookup does not have to wait, in turn."""
        return [task_id for task_id in self.in_turn() if self._doubts[task_id].retry_at <= at]


class Lookups:
    """Looks tasks up, some at a time.

    Args:
        requests: sends them.
        rows: reads their rows.
        clock: says when time is up.
    """

    def __init__(self, requests: TaskRequests, rows: Rows, clock: Clock) -> None:
        self._requests = requests
        self._rows = rows
        self._clock = clock

    async def run(
        self,
        task_ids: Sequence[str],
        *,
        seconds: float,
        found: Callable[[Found], None],
        failed: Callable[[str, bool], None],
    ) -> None:
        """Look tasks up in turn until all are done or the time is up. It raises nothing.

        Args:
            task_ids: which ones; duplicates are looked up once.
            seconds: how long to continue. Lookups that are unanswered after that are abandoned.
            found: called for each answer.
            failed: called for each task without one; and whether its lookup was answered at all.
        """
        waiting = list(dict.fromkeys(reversed(task_ids)))
        until = self._clock.monotonic() + seconds
        running: dict[asyncio.Future[Found], str] = {}
        try:
            while waiting or running:
                while waiting and len(running) < LOOKUPS_AT_ONCE:
                    task_id = waiting.pop()
                    running[asyncio.ensure_future(self._look_up(task_id))] = task_id
                left = until - self._clock.monotonic()
                if left <= 0:
                    break
                done, _ = await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                for lookup in [each for each in running if each in done]:  # in the order of asking, on every run
                    task_id = running.pop(lookup)
                    if isinstance(lookup.exception(), ApiError):
                        failed(task_id, True)
                    else:
                        found(lookup.result())
            for task_id in running.values():
                failed(task_id, False)
        finally:
            await cancel_all(running)

    async def _look_up(self, task_id: str) -> Found:
        """Look one task up. An answer about another task says nothing, like a failed request."""
        answer = await self._requests.look_up(task_id)
        tasks = [self._rows.read(row) for row in answer.page.rows]
        task = next((task for task in tasks if task is not None and task.task_id == task_id), None)
        if tasks and task is None:
            raise ApiError(State.INVALID_RESPONSE, "a lookup by TaskId was answered with another task")
        return Found(task_id, None if task is None else Entry.of(task, sent_at=answer.sent_at), answer.sent_at)
