"""The rows that one pass has read, from the front down without a hole."""

from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from exporter.aliyun.errors import ApiError
from exporter.collector.inventory import Entry
from exporter.collector.reading import ANCHOR_ROWS, AppRows, Plan, Reading, TaskIdOf, Window, WindowAnswer
from exporter.core.collection_state import State
from exporter.core.task import Task

REPLICA_LAG_SECONDS: Final = 1.0
"""How far a replica of the service may lag behind: a later answer may show an earlier list."""

HEAD_ROWS: Final = 3
"""This many rows that follow one another as they were read before are the border below which a window shows all."""

ROWS_IN_ORDER: Final = 12
"""This many rows that follow one another as they did before have not moved: moved ones do so by chance once in 12!."""

PAGES_OF_ORDER: Final = 4
"""Rows that come again are compared with the order of the rows that were read last, of this many pages."""


class Page(NamedTuple):
    """The answer to the request for one window."""

    window: Window
    answer: WindowAnswer
    digests: list[int]  # of its rows
    tasks: dict[int, Task | None]  # of rows that were not known when the page came, by their places; None: no TaskId

    @property
    def full(self) -> bool:
        """Whether it has as many rows as requested."""
        return len(self.digests) == self.window.page_size

    @property
    def end(self) -> int:
        """The position behind its last row."""
        return self.window.start + len(self.digests)


class Gathered:
    """What a pass has read so far; each page is compared with it, and added where it leaves no hole."""

    def __init__(self, rows: AppRows, task_id_of: TaskIdOf, plan: Plan, *, began: float, max_tasks: int) -> None:
        self.reading = Reading(
            began=began,
            largest_page=plan.largest_page,
            overlapped=plan.overlap > 0,
            page_size_ignored=plan.page_size_ignored,
        )
        self.overlap = plan.overlap
        self.reached = 0  # the position behind the last row
        self.lowest: int | None = None  # the digest of the last row that was new
        self.largest_answer = 0
        self.last_digests: Sequence[int] = ()
        self.front_is_still = False  # whether the first window was read more than once, each time with the same rows
        self._rows = rows
        self._task_id_of = task_id_of
        self._max_tasks = max_tasks
        self._fresh_ids: dict[int, str] = {}  # TaskIds of the rows that are not known, by their digests
        self._nameless: set[int] = set()
        """Digests of rows without a TaskId: they may be alike, so that a page of them is no sign of the end."""
        self._perhaps_jumped: set[int] = set()
        """Rows of the first window alone: meeting one again proves nothing, as requests overtake each other."""
        self._first_ended = 0.0

    @property
    def anchor_rows(self) -> int:
        """How many known rows in succession end an update."""
        return max(1, min(ANCHOR_ROWS, self.reading.largest_page // 2))

    @property
    def ends_in_known_rows(self) -> bool:
        """Whether the last rows of the last page are known and unchanged."""
        tail = self.last_digests[-self.anchor_rows :]
        return len(tail) == self.anchor_rows and all(self._task_id_of(digest) is not None for digest in tail)

    def ends_in_order_of(self, places: dict[int, int]) -> bool:
        """Whether the last rows of the last page follow one another as they do in an earlier reading."""
        rows = max(1, min(ROWS_IN_ORDER, self.reading.largest_page // 2))
        tail = [places.get(digest, -1) for digest in self.last_digests[-rows:]]
        return len(tail) == rows and tail[0] >= 0 and all(one < next_one for one, next_one in pairwise(tail))

    def has(self, digest: int) -> bool:
        """Whether a row was read before, as it is."""
        if digest in self._fresh_ids or digest in self._nameless:
            return True
        task_id = self._task_id_of(digest)
        return task_id in self.reading.seen and task_id not in self.reading.fresh

    def has_task_of(self, page: Page, place: int) -> bool:
        """Whether a row, or another one of the same task, was read before."""
        digest = page.digests[place]
        if self.has(digest):
            return True
        task_id = self._task_id_of(digest)
        if task_id is None:
            task = self._task(page, place)
            return task is not None and task.task_id in self.reading.seen
        return task_id in self.reading.seen

    def has_all(self, page: Page) -> bool:
        """Whether a page brings nothing new. A page of rows without a TaskId always may."""
        return all(map(self.has, page.digests)) and not self._nameless.issuperset(page.digests)

    def joins(self, page: Page) -> bool:
        """Whether no row can be between what was read and a page."""
        return page.window.start == 0 or any(
            self.has(digest) and digest not in self._perhaps_jumped for digest in page.digests
        )

    def add(self, page: Page, *, in_order: bool = True) -> None:
        """Add a page that leaves no hole; not `in_order`: it is read again on purpose, so its order says nothing."""
        self.reading.unproven_borders += not self.joins(page)
        added, again, doubled = self._sort_rows(page)
        reading, start = self.reading, page.window.start
        again_on_purpose = max(0, self.reached - start)
        as_before = list(reading.digests[start : self.reached]) == page.digests[:again_on_purpose]
        if self.reached and not (as_before and (len(again) == again_on_purpose or self._nameless)):
            reading.undisturbed = False
            if in_order:
                reading.unexplained_rows += self._unexplained(page, again)
        reading.doubled_rows += doubled
        reading.duplicate_rows += max(0, len(again) + doubled - again_on_purpose)
        reading.digests[start : page.end] = array("Q", page.digests)
        self._remember_ends(page, added=bool(added))
        if len(reading.seen) + reading.rows_without_task_id > self._max_tasks:
            raise ApiError(
                State.LIMIT_EXCEEDED, f"there are more than {self._max_tasks} tasks: raise collection.max_tasks_per_app"
            )

    def _sort_rows(self, page: Page) -> tuple[set[str], list[int], int]:
        """Note each row; return the new TaskIds, the places of rows that come again, and how many repeat a task."""
        reading = self.reading
        added = set[str]()
        again: list[int] = []
        doubled = 0
        for place, digest in enumerate(page.digests):
            task_id, fresh = self._task_id_of(digest), None
            if task_id is None:
                task_id = self._fresh_ids.get(digest)
                if task_id is None and (fresh := self._read(page, place)) is not None:
                    task_id = fresh.task_id
            if task_id is None:
                reading.rows_without_task_id += page.window.start + place >= self.reached
            elif task_id in added:
                doubled += 1
            elif task_id in reading.seen:
                again.append(place)
            else:
                added.add(task_id)
                reading.seen.add(task_id)
                if fresh is not None:
                    reading.fresh[task_id] = Entry.of(fresh, sent_at=page.answer.sent_at)
                    if page.window.start:
                        reading.fresh_below_front.add(task_id)
        return added, again, doubled

    async def read_new(self, page: Page) -> None:
        """Read the rows of a page that are not known; raises ApiError if one belongs to another app."""
        new = [place for place, digest in enumerate(page.digests) if self._is_new(digest)]
        tasks = await self._rows.read_many(page.answer.page.rows[place] for place in new)
        page.tasks.update(zip(new, tasks, strict=True))

    def _is_new(self, digest: int) -> bool:
        return self._task_id_of(digest) is None and digest not in self._fresh_ids and digest not in self._nameless

    def _task(self, page: Page, place: int) -> Task | None:
        """Return the task of a row that is not known; None: it has no TaskId."""
        if place not in page.tasks:
            page.tasks[place] = self._rows.read(page.answer.page.rows[place])
        return page.tasks[place]

    def _read(self, page: Page, place: int) -> Task | None:
        """Remember a row that is not known and return its task; None: it has no TaskId."""
        task = self._task(page, place)
        if task is None:
            self._nameless.add(page.digests[place])
        else:
            self._fresh_ids[page.digests[place]] = task.task_id
        return task

    def _remember_ends(self, page: Page, *, added: bool) -> None:
        if page.window.start == 0:
            ground = min(self.overlap, len(page.digests)) or len(page.digests)
            self._perhaps_jumped.update(page.digests[:-ground])
            self._perhaps_jumped.difference_update(page.digests[-ground:])
            if self.reading.first_digests:
                self.front_is_still = page.digests == self.reading.first_digests
            else:
                self.reading.first_digests = page.digests
                self._first_ended = self.reading.ended
        else:
            self._perhaps_jumped.difference_update(page.digests)
        if added:
            self.lowest = page.digests[-1]
        self.reached = page.end
        self.last_digests = page.digests
        self.largest_answer = max(self.largest_answer, len(page.digests))

    def _unexplained(self, page: Page, again: Sequence[int]) -> int:
        """Count the rows that come again though no update or deletion can bring them where they are.

        What was read before may only come again in front of all that is new, in the order in which it was read: it was
        pushed back. Two things are excepted: a row that had just jumped to the first window, in an answer that may be
        older than that window's; and rows below a head that is as it was read: the page itself shows all that is there.
        """
        order = self.reading.digests[-PAGES_OF_ORDER * self.reading.largest_page :]
        places = {digest: place for place, digest in enumerate(order)}
        head = [places.get(digest, -1) for digest in page.digests[: min(HEAD_ROWS, self.overlap or HEAD_ROWS)]]
        if len(head) > 1 and head == list(range(head[0], head[0] + len(head))) and head[0] >= 0:
            return 0
        first = set(self.reading.first_digests) if page.answer.sent_at < self._first_ended + REPLICA_LAG_SECONDS else ()
        unexplained, expected, lowest = 0, 0, -1
        for place in again:
            digest = page.digests[place]
            if digest in first:
                expected += 1
                continue
            if place > expected or (known_place := places.get(digest, lowest)) < lowest:  # a new row is in front of it
                unexplained += 1
            else:
                lowest = known_place
            expected += 1
        return unexplained
