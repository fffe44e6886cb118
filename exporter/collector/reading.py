"""What the reading of a list works with: windows' answers, rows, and what a reading brought."""

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from exporter.aliyun.parse_task import Interner, read_row, row_digest
from exporter.aliyun.response import ListPage
from exporter.collector.inventory import Entry
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
        """Read for the time of a slice; return whether no row is left."""
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
