"""Tasks in doubt, and lookups by TaskId, which say what became of them."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from heapq import nsmallest
from typing import Final
from zlib import crc32

import msgspec

from exporter.aliyun.errors import ApiError
from exporter.collector.inventory import Entry
from exporter.collector.reading import AppRows
from exporter.collector.requests import AppRequests, cancel_all
from exporter.core.clock import Clock
from exporter.core.collection_state import State

LOOKUPS_AT_ONCE: Final = 8
FIRST_PAUSE_SECONDS: Final = 5.0
"""After a lookup that failed, before the same task is looked up again; it doubles each time."""
LONGEST_PAUSE_SECONDS: Final = 300.0


class Doubt(msgspec.Struct):
    """One task in doubt. Times are monotonic seconds."""

    since: float  # when the reading that did not show it began
    of_large_loss: bool = False  # whether it was missing when the proof of a large loss was begun
    is_gone: bool = False  # whether a lookup for the proof of a large loss says so, and it is kept until the proof
    failures: int = 0  # lookups that brought no answer about it
    retry_at: float = 0.0


class Found(msgspec.Struct, frozen=True):
    """What a lookup says of a task."""

    task_id: str
    row: Entry | None  # None: the service knows no such task
    sent_at: float  # monotonic seconds


class OtherTasksError(ApiError):
    """A lookup was answered with other tasks than the one that was asked for."""

    def __init__(self) -> None:
        super().__init__(
            State.INVALID_RESPONSE,
            "a lookup by TaskId was answered with other tasks: check that nothing in between caches answers",
        )


class Doubts(dict[str, Doubt]):
    """The tasks of one app that are in doubt, by TaskId."""

    def add(self, task_ids: Iterable[str], *, since: float) -> None:
        """Note tasks that a reading did not show."""
        for task_id in task_ids:
            self.setdefault(task_id, Doubt(since))

    def settle(self, task_ids: Iterable[str]) -> None:
        """Forget tasks of which it is known what became of them; others may be among them."""
        if self:
            for task_id in task_ids:
                self.pop(task_id, None)

    @property
    def gone(self) -> list[str]:
        """The tasks that are gone for certain, and are kept until the proof of a large loss."""
        return [task_id for task_id, doubt in self.items() if doubt.is_gone]

    def confirm(self, task_id: str) -> None:
        """Note that a task is gone, if it is still in doubt."""
        if task_id in self:
            self[task_id].is_gone = True

    def failed(self, task_id: str, *, at: float, answered: bool) -> None:
        """Note a lookup that failed, at a monotonic time: others go first, and the next one waits.

        The wait doubles with each answer that failed, not where it was given up before one came.
        """
        doubt = self.get(task_id)
        if doubt is not None:
            pause = FIRST_PAUSE_SECONDS * 2 ** min(doubt.failures, 16) if answered else FIRST_PAUSE_SECONDS
            doubt.failures += 1
            doubt.retry_at = at + min(LONGEST_PAUSE_SECONDS, pause)

    def sample(self, task_ids: Iterable[str], most: int = 15) -> list[str]:
        """Return some of the tasks, those first that are not known to be gone and did not fail, else by their TaskIds.

        A sample by age would hold what was deleted long ago; one by chance would be another each time it is tried.
        """
        chosen = [task_id for task_id in task_ids if task_id in self]

        def order(task_id: str) -> tuple[bool, int, int]:
            return self[task_id].is_gone, self[task_id].failures, crc32(task_id.encode())

        return nsmallest(most, chosen, key=order)

    def due(self, at: float) -> list[str]:
        """Return the tasks whose lookup does not have to wait: those that did not fail, then the longest in doubt."""
        due = [task_id for task_id, doubt in self.items() if doubt.retry_at <= at]
        return sorted(due, key=lambda task_id: (self[task_id].failures, self[task_id].since))


class TaskLookups:
    """Looks up tasks of one app by TaskId, several at a time."""

    def __init__(self, requests: AppRequests, rows: AppRows, clock: Clock) -> None:
        self._requests = requests
        self._rows = rows
        self._clock = clock

    async def all(
        self,
        task_ids: Sequence[str],
        *,
        seconds: float,
        found: Callable[[Found], None],
        failed: Callable[[str, bool], None],
    ) -> int:
        """Look tasks up in turn, each once, until all are done or the time is up; return how many are gone.

        `found` is called for each answer, `failed` for each task without, and whether one came. Lookups that are
        unanswered at the end are abandoned. An answer with other tasks raises OtherTasksError; no other failure raises.
        """
        waiting = list(dict.fromkeys(reversed(task_ids)))
        until = self._clock.monotonic() + seconds
        running: dict[asyncio.Future[Found], str] = {}
        gone = 0
        try:
            while (waiting or running) and (left := until - self._clock.monotonic()) > 0:
                while waiting and len(running) < LOOKUPS_AT_ONCE:
                    task_id = waiting.pop()
                    running[asyncio.ensure_future(self._look_up(task_id))] = task_id
                done, _ = await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                for lookup in [each for each in running if each in done]:  # in the order of asking, on every run
                    task_id = running.pop(lookup)
                    error = lookup.exception()
                    if isinstance(error, ApiError) and not isinstance(error, OtherTasksError):
                        failed(task_id, True)
                    else:
                        answer = lookup.result()
                        gone += answer.row is None
                        found(answer)
            for task_id in running.values():
                failed(task_id, False)
        finally:
            await cancel_all(running)
        return gone

    async def _look_up(self, task_id: str) -> Found:
        answer = await self._requests.look_up(task_id)
        try:
            tasks = [self._rows.read(row) for row in answer.page.rows]
        except ApiError as error:  # of another app
            raise OtherTasksError from error
        task = next((task for task in tasks if task is not None and task.task_id == task_id), None)
        if tasks and task is None:
            raise OtherTasksError
        return Found(task_id, None if task is None else Entry.of(task, sent_at=answer.sent_at), answer.sent_at)
