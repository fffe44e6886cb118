"""What the reading of a list works with: windows' answers, rows, and what a pass has gathered without a hole."""

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from exporter.aliyun.errors import ApiError
from exporter.aliyun.parse_task import Interner, read_row, row_digest
from exporter.aliyun.response import ListPage
from exporter.collector.inventory import Entry
from exporter.core.collection_state import State
from exporter.core.task import Task

LARGEST_PAGE: Final = 100  # the vendor's limit of PageSize


class Window(NamedTuple):
    """The rows that one request asks for."""

    page_no: int
    page_size: int

    @property
    def start(self) -> int:
        """The position of the first row, from 0."""
        return (self.page_no - 1) * self.page_size

    @property
    def end(self) -> int:
        """The position behind the last row."""
        return self.page_no * self.page_size

    def following(self) -> "Window":
        """The next page of the same size."""
        return Window(self.page_no + 1, self.page_size)


@lru_cache(maxsize=65_536)
def window_after(reached: int, *, overlap: int, largest: int = LARGEST_PAGE) -> Window:
    """Return the window that reads farthest beyond `reached` and begins at least `overlap` rows before it.

    Where no PageSize gives this many, they are the most that it can be; with 0, pages of one size meet.
    """
    if overlap == 0:
        return Window(reached // largest + 1, largest)
    beyond = [Window(reached // size + 1, size) for size in range(largest, 0, -1)]
    joined = [window for window in beyond if reached - window.start >= overlap]
    if joined:
        return max(joined, key=lambda window: (window.end, window.page_size))
    return max(beyond, key=lambda window: (reached - window.start, window.page_size))


def window_behind(short: Window, end: int, *, overlap: int, largest: int) -> Window:
    """Return another window, not larger than answers are, that shows whether a list goes on behind a short page."""
    candidates = [Window(end // size + 1, size) for size in range(largest, 0, -1)]
    return max(
        (window for window in candidates if window != short),
        key=lambda window: (window.start > short.start, 1 <= end - window.start <= 2 * overlap, window.end),
        default=short.following(),
    )


ANCHOR_ROWS: Final = 8
"""This many known, unchanged rows in succession end an update: one alone may be a task that was saved unchanged."""

FIRST_OVERLAP: Final = 4
"""Rows that two windows share at first: this many rows less one may slide over their border in between."""

LARGEST_PAGE_WITHOUT_OVERLAP: Final = 7
"""Up to this size there are positions from which no page reads on that shares a row with what was read."""


class WindowAnswer(NamedTuple):
    """One window's page."""

    page: ListPage
    sent_at: float  # monotonic seconds: when the request was sent


SLICE_SECONDS: Final = 0.01  # of reading rows before the event loop runs
MOST_PAGES_IN_SLICES: Final = 4  # a page is in memory until it is read, so further ones are read in one go

Fetch = Callable[[Window], Awaitable[WindowAnswer]]
TaskIdOf = Callable[[int], str | None]  # whose current row has this digest; None: the row is new or changed


class Plan(NamedTuple):
    """How a pass chooses its windows."""

    largest_page: int
    overlap: int  # rows that two windows share at first. 0: pages of one size, which share none.
    page_size_ignored: bool = False  # whether the service is known to give pages of this size, whatever PageSize is
    most_rows: int | None = None  # a list without an end within this many rows is given up

    @classmethod
    def overlapping(cls, largest_page: int) -> "Plan":
        """Return the plan that costs least where the order is stable; tiny pages can't always overlap."""
        overlap = 0 if largest_page <= LARGEST_PAGE_WITHOUT_OVERLAP else min(FIRST_OVERLAP, largest_page // 4)
        return cls(largest_page, overlap)


class Reading(msgspec.Struct):
    """What one reading brought."""

    began: float  # monotonic seconds
    ended: float = 0.0  # monotonic seconds: when the last answer came
    seen: set[str] = msgspec.field(default_factory=set)  # the TaskId of every row, known or fresh
    fresh: dict[str, Entry] = msgspec.field(default_factory=dict)  # rows that were not known when they were read
    fresh_below_front: set[str] = msgspec.field(default_factory=set)  # whose fresh rows were below the first window
    digests: "array[int]" = msgspec.field(default_factory=lambda: array("Q"))
    """Of all rows, by their position when they were read last."""
    first_digests: Sequence[int] = ()  # of the rows of the first window
    windows: int = 0  # how many were requested
    duplicate_rows: int = 0  # rows that came again beyond the overlaps that were planned
    unexplained_rows: int = 0
    """Those among them that a list with a stable order can't bring again, wherever tasks were updated or deleted."""
    doubled_rows: int = 0  # rows of a task that has another row in the same page
    rows_without_task_id: int = 0
    complete: bool = False  # whether it reached the end of the list
    anchored: bool = False  # whether it ended at rows that were known and unchanged
    length: int | None = None
    """The number of rows of the list, by the position of its end; None where positions don't say it."""
    one_answer: bool = False  # whether all rows came in one answer
    undisturbed: bool = True  # whether all windows fitted together as those of a list that does not change do
    overlapped: bool = True  # whether the windows share rows, so that a hole would show
    unproven_borders: int = 0  # windows that share no row with what was read before them
    page_size_ignored: bool = False  # whether the service gives pages of one size, whatever PageSize is
    largest_page: int = LARGEST_PAGE  # the most rows that the service gives in one answer, as far as is known

    @property
    def plan(self) -> Plan:
        """How the service can be read with the fewest windows that share rows, where they can."""
        if self.page_size_ignored:
            return Plan(self.largest_page, 0, page_size_ignored=True)
        return Plan.overlapping(self.largest_page)


class IncompleteReadingError(Exception):
    """Every request was answered, and yet the list could not be read whole; `str()` is a line that says why."""


class UnstableOrderError(IncompleteReadingError):
    """Pages do not fit together though the front of the list does not move."""


class ReadingTurns:
    """Divides the reading of rows into slices, between which the event loop runs."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        """Held by a page that needs several slices: two such pages at a time would delay the loop by two."""
        self._pages = 0

    async def call(self, read: Callable[[msgspec.Raw], Task | None], rows: Iterable[msgspec.Raw]) -> list[Task | None]:
        """Return what the function returns for each row, or raise what it raises."""
        tasks: list[Task | None] = []
        waiting = iter(rows)
        is_done = self._read_slice(read, waiting, tasks)
        if not is_done and self._pages < MOST_PAGES_IN_SLICES:
            self._pages += 1
            try:
                async with self._lock:
                    while not is_done:
                        await asyncio.sleep(0)
                        is_done = self._read_slice(read, waiting, tasks)
            finally:
                self._pages -= 1
        tasks.extend(map(read, waiting))
        return tasks

    def _read_slice(
        self, read: Callable[[msgspec.Raw], Task | None], rows: Iterator[msgspec.Raw], tasks: list[Task | None]
    ) -> bool:
        ends = self._monotonic() + SLICE_SECONDS
        for row in rows:
            tasks.append(read(row))
            if self._monotonic() >= ends:
                return False
        return True


class AppRows:
    """Reads rows, which must be of one app, and keeps equal parts of tasks once; without turns in one go."""

    def __init__(self, app_id: str, share: Interner, turns: ReadingTurns | None = None) -> None:
        self._app_id = app_id
        self._share = share
        self._turns = turns or ReadingTurns(lambda: 0.0)

    def digest(self, row: msgspec.Raw, /) -> int:
        """Return a digest of the row's bytes."""
        return row_digest(row)

    def read(self, row: msgspec.Raw, /) -> Task | None:
        """Return the task, None where the row has no TaskId; raises ApiError if the row belongs to another app."""
        return read_row(row, app_id=self._app_id, share=self._share)

    async def read_many(self, rows: Iterable[msgspec.Raw], /) -> list[Task | None]:
        """Return the tasks of rows as `read` does, letting the event loop run in between."""
        return await self._turns.call(self.read, rows)


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
